"""Changes how urgent one study is."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.facts.priority import OF_WORDS
from dicom_node.studies.ledger.locks import require_locked
from dicom_node.studies.ledger.queries.reading import find_study
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study


def set_priority(session: Session, study_instance_uid: str, word: str) -> str:
    """Give a study a priority, and with it its analyses and deliveries; returns what is so now.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    NodeError
        There is no such priority.
    """
    priority = OF_WORDS.get(word.lower())
    if priority is None:
        raise NodeError(f"there is no priority {word!r}: choose stat, routine or off-peak")
    study = require_locked(session, Study, find_study(session, study_instance_uid).id)
    study.priority = int(priority)
    analyses = select(Analysis.id).where(Analysis.study_id == study.id)
    # No transition and no new version: claims that are held stand.
    for query in (
        update(Analysis).where(Analysis.study_id == study.id),
        update(Delivery).where(Delivery.analysis_id.in_(analyses)),
    ):
        session.execute(
            query.values(priority=int(priority)).execution_options(synchronize_session=False)
        )
    return f"study {study_instance_uid} is {priority.word}"
