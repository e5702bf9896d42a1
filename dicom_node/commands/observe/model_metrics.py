"""The figures of the model for Prometheus: answers and alarms of each scanner."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.due.pauses import Paused, pauses
from dicom_node.studies.ledger.monitoring.tables import DriftAlarm, MonitorNote

WINDOW: Final = timedelta(days=7)

MOST_SCANNERS: Final = 100
"""Scanners that have figures: their names come from headers, which anybody may write."""

Sample = tuple[str, tuple[str, ...], float]


def model_samples(session: Session, at: datetime) -> Iterator[Sample]:
    """Yield what the ledger knows of the last week's answers, and whether results are held."""
    equipment = (MonitorNote.manufacturer, MonitorNote.model, MonitorNote.serial)
    query = (
        select(
            *equipment,
            func.count(MonitorNote.id),
            func.sum(cast(MonitorNote.flagged, Integer)),
            func.max(MonitorNote.at),
        )
        .where(MonitorNote.at > at - WINDOW)
        .group_by(*equipment)
        .order_by(func.max(MonitorNote.at).desc())
        .limit(MOST_SCANNERS)
    )
    for manufacturer, model, serial, answers, flagged, last in session.execute(query):
        scanner = (Fingerprint(manufacturer, model, serial).scanner,)
        yield "mammoclip_scanner_answers", scanner, answers
        yield "mammoclip_scanner_answers_flagged", scanner, flagged or 0
        yield "mammoclip_scanner_last_study_timestamp_seconds", scanner, last.timestamp()
    raised = (
        select(DriftAlarm.scanner, DriftAlarm.kind, func.count(DriftAlarm.id))
        .where(DriftAlarm.at > at - WINDOW, DriftAlarm.scanner != "")
        .group_by(DriftAlarm.scanner, DriftAlarm.kind)
        .limit(MOST_SCANNERS)
    )
    for name, kind, count in session.execute(raised):
        yield "mammoclip_drift_alarms", (kind, name), count
    held = any(one.kind is Paused.RESULTS for one in pauses(session))
    yield "mammoclip_results_held", (), held
