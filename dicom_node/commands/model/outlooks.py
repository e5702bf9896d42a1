"""What ``mammoclip-node drift`` shows."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.table import Table
from sqlalchemy.orm import Session

from dicom_node.commands.local_times import local_time
from dicom_node.drift.outlook import outlook
from dicom_node.drift.pixel_outlook import pixel_shifts
from dicom_node.errors import NodeError
from dicom_node.monitoring.pixel_watch import WORDS
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring.alarm_book import alarms, reset_reference
from dicom_node.studies.ledger.monitoring.notes import notes


def outlook_document(session: Session, settings: Settings, *, since: datetime) -> dict[str, Any]:
    """Return the equipment and the alarms since a time."""
    late = settings.monitoring.late_after_minutes * 60
    found = outlook(notes(session, since=since), late_after_seconds=late)
    return {
        "since": since.isoformat(timespec="seconds"),
        "equipment": [
            {
                "equipment": equipment.in_words(),
                "answers": group.answers,
                "flagged": group.flagged,
                "flag_rate": group.flag_rate[0] if group.is_shown else None,
                "interval": group.flag_rate[1] if group.is_shown else None,
                "left_out": group.left_out,
                "late": group.late,
                "pixels": [asdict(one) for one in pixel_shifts(session, equipment, group)],
            }
            for equipment, group in sorted(
                found.by_equipment.items(), key=lambda one: one[0].in_words()
            )
        ],
        "alarms": [
            {
                "at": row.at.isoformat(timespec="seconds"),
                "scanner": row.scanner,
                "kind": row.kind,
                "about": row.about,
                "detail": row.detail,
            }
            for row in alarms(session, since=since)
        ],
    }


def new_reference(database: Database, scanner: str, reason: str, *, by: str) -> str:
    """Take a scanner's answers from now on for its reference; return what was done.

    Raises
    ------
    NodeError
        No reason is given.
    """
    if not reason.strip():
        raise NodeError("give a reason: --reason TEXT")
    with database.writing() as session:
        at = database_time(session)
        reset_reference(session, scanner, reason=reason, decided_by=by, at=at)
    return f"{scanner}: what comes from now on is its reference"


def outlook_tables(document: dict[str, Any]) -> list[Table]:
    """Return the document as tables for a terminal."""
    equipment = Table(title=f"Answers since {local_time(document['since'])}")
    for name in ("equipment", "answers", "flagged", "95 % interval", "left out", "late"):
        equipment.add_column(name)
    for one in document["equipment"]:
        rate, interval = one["flag_rate"], one["interval"]
        equipment.add_row(
            one["equipment"],
            str(one["answers"]),
            "too few" if rate is None else f"{rate:.1%}",
            "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}",
            str(one["left_out"]),
            str(one["late"]),
        )
    pixels = Table(title="Pixels of the images")
    for name in ("equipment", "measure", "reference", "now"):
        pixels.add_column(name)
    for one in document["equipment"]:
        for measure in one["pixels"]:
            before = measure["before"]
            pixels.add_row(
                one["equipment"],
                WORDS[measure["name"]],
                "is gathered" if before is None else f"{before:.4g}",
                f"{measure['now']:.4g}",
            )
    alarm_table = Table(title="Alarms")
    for name in ("time", "scanner", "kind", "what"):
        alarm_table.add_column(name)
    for one in document["alarms"]:
        alarm_table.add_row(local_time(one["at"]), one["scanner"], one["kind"], one["detail"])
    return [equipment, *([pixels] if pixels.row_count else []), alarm_table]
