"""Has past studies answered again by another bundle, in shadow, before that one is used."""

from datetime import datetime

from sqlalchemy import select

from dicom_node.errors import NodeError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.shadows import begin_shadows
from dicom_node.studies.ledger.states import AnalysisState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Study

_PORTION = 200


def replay(settings: Settings, database: Database, bundle: str, *, since: datetime) -> int:
    """Make the answers of a bundle due on all answered studies since a time; return how many.

    A study counts by its newest revision, if its files are still there. They are answered when no
    analysis waits, and nothing of them is ever sent. What was answered by the bundle is not again.

    Raises
    ------
    NodeError
        The settings have no such bundle.
    """
    if bundle not in settings.bundles:
        known = ", ".join(sorted(settings.bundles)) or "none"
        raise NodeError(f"there is no bundle {bundle!r} under [bundles]; there are: {known}")
    query = (
        select(Analysis.id)
        .join(Study, (Study.id == Analysis.study_id) & (Study.revision == Analysis.revision))
        .where(
            Analysis.state == AnalysisState.DONE,
            Study.state != StudyState.ERASED,
            Study.removed_at.is_(None),
            Study.study_instance_uid != CANARY_STUDY,
            Study.first_received_at >= since,
        )
        .order_by(Analysis.id)
    )
    with database.reading() as session:
        ids = list(session.scalars(query))
    for start in range(0, len(ids), _PORTION):
        # A few at a time, so that nobody waits for all of them.
        with database.writing() as session:
            at = database_time(session)
            for analysis_id in ids[start : start + _PORTION]:
                begin_shadows(session, analysis_id, [bundle], at=at)
    return len(ids)


def replayed_in_words(count: int, bundle: str) -> str:
    """Say how many studies are answered again, and where the answers are seen."""
    return (
        f"{count} studies are answered by {bundle} when nothing else waits; see "
        f"'mammoclip-node shadow --bundle {bundle}'"
    )
