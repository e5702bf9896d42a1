"""The figures of the model for Prometheus: answers and alarms of each scanner."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from dicom_node.drift.pixel_outlook import by_name
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.due.pauses import Paused, pauses
from dicom_node.studies.ledger.monitoring.tables import DriftAlarm, MonitorNote

WINDOW: Final = timedelta(days=7)

MOST_SCANNERS: Final = 100
"""Scanners that have figures: their names come from headers, which anybody may write."""

_MOST_MEASURED: Final = 20_000
"""Answers whose pixels are read, the newest: more do not change a median."""

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
    measured: dict[str, list[str]] = {}
    pixels = (
        select(*equipment, MonitorNote.pixels)
        .where(MonitorNote.at > at - WINDOW, MonitorNote.pixels != "")
        .order_by(MonitorNote.at.desc())
        .limit(_MOST_MEASURED)
    )
    for manufacturer, model, serial, text in session.execute(pixels):
        measured.setdefault(Fingerprint(manufacturer, model, serial).scanner, []).append(text)
    for name, texts in list(measured.items())[:MOST_SCANNERS]:
        for measure, values in sorted(by_name(texts).items()):
            yield "mammoclip_scanner_pixels", (name, measure), median(values)
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
