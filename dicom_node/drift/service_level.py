"""The service level by the ledger: answers that were late, and studies that wait too long."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.monitoring.burn_rate import LONGEST, Burn, Given, burns
from dicom_node.settings.operation.monitoring import MonitoringSettings
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.states import AnalysisState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Study

_OUT_OF_ORDER: Final = 200
"""Notes in a row that are too old, after which no younger one follows: more than there are workers
that may have entered theirs in another order than they ended."""

_ROUTINE: Final = 1
"""Priority from which on a study should be answered in time; off-peak ones wait on purpose."""


def service_level(
    session: Session, settings: MonitoringSettings, *, now: datetime
) -> dict[str, Burn]:
    """Return how fast the budget of late answers burns, by window."""
    late = timedelta(minutes=settings.late_after_minutes)
    given = _given(session, late, now=now)
    overdue = _overdue(session, now - late)
    return burns(given, overdue, on_time=settings.on_time)


def _given(session: Session, late: timedelta, *, now: datetime) -> list[Given]:
    """Return the answers of the longest window, from the newest note backwards."""
    query = (
        select(MonitorNote.seconds, Analysis.finished_at, Analysis.priority)
        .join(Analysis, Analysis.id == MonitorNote.analysis_id)
        .order_by(MonitorNote.id.desc())
        .execution_options(yield_per=500)
    )
    found, older = [], 0
    with session.execute(query) as rows:
        for seconds, finished_at, priority in rows:
            if finished_at is None:
                continue
            if now - finished_at > LONGEST:
                older += 1
                if older > _OUT_OF_ORDER:
                    break
                continue
            older = 0
            if priority >= _ROUTINE:
                is_late = seconds > late.total_seconds()
                found.append(Given(ago=now - finished_at, is_late=is_late))
    return found


def _overdue(session: Session, before: datetime) -> int:
    """Count the studies whose last image came before some time, and that have no answer yet."""
    waits = (
        select(Analysis.id)
        .where(
            Analysis.study_id == Study.id,
            Analysis.state.in_((AnalysisState.DUE, AnalysisState.RUNNING)),
        )
        .exists()
    )
    query = select(func.count(Study.id)).where(
        or_(Study.state == StudyState.OPEN, waits),
        Study.last_received_at < before,
        Study.priority >= _ROUTINE,
        Study.study_instance_uid != CANARY_STUDY,
    )
    return session.scalar(query) or 0
