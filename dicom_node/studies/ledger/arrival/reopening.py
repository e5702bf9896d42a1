"""Opens a settled study again, for what its report must mention."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.states import AnalysisState, Event, StudyState
from dicom_node.studies.ledger.tables import Analysis, Study
from dicom_node.studies.ledger.transitions import apply


def open_again(
    session: Session,
    study: Study,
    *,
    received_at: datetime,
    at: datetime,
    because: str = "a further image arrived",
) -> None:
    """Record that a study received something that its report must mention."""
    # After a crash objects may be registered late: the later time of reception counts.
    study.last_received_at = max(study.last_received_at, received_at)
    study.version += 1
    session.flush()
    if study.state is not StudyState.SETTLED:
        return
    apply(session, study, Event.LATE_IMAGE, because=because, at=at)
    # A done analysis stays until the next one is done (outcomes), so that there is an answer
    # meanwhile. The worker of a running one finds its version gone and records nothing.
    superseded = (
        AnalysisState.DUE,
        AnalysisState.RUNNING,
        AnalysisState.FAILED,
        AnalysisState.CANCELLED,
    )
    query = select(Analysis).where(Analysis.study_id == study.id, Analysis.state.in_(superseded))
    for analysis in session.scalars(locking(query)).all():
        apply(session, analysis, Event.LATE_IMAGE, because=because, at=at)
