"""What ``mammoclip-node report`` and ``export`` do."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.drift.export import ExportCount, export_lines
from dicom_node.drift.report import Report, inventory, make_report, month_before
from dicom_node.drift.report_pages import as_html, as_pdf
from dicom_node.drift.report_section import Section
from dicom_node.errors import NodeError
from dicom_node.model_bundle import bundle_folder, gives_probabilities
from dicom_node.node_parts import open_spool
from dicom_node.objects.elements.local_time import site_time_zone
from dicom_node.settings.settings import Settings
from dicom_node.spool.files.private_files import create_private_file
from dicom_node.spool.identity_key import identity_key
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.monitoring.notes import notes, observation_of
from dicom_node.studies.ledger.monitoring.truths import (
    KnownAnswer,
    highest_score,
    known_answers,
)
from dicom_node.studies.ledger.tables import Analysis, Study
from mammoclip_core.manifest import read_manifest


def report_of(
    settings: Settings,
    database: Database,
    out: Path,
    *,
    since: str | None,
    until: str | None,
    truth: Path | None,
) -> None:
    """Write the report of some time; see `report_made`.

    Raises
    ------
    NodeError
        The file is neither HTML nor PDF, or the table of truth is none.
    FileExistsError
        The file exists already.
    """
    kind = report_kind(out)
    table = None if truth is None else truth.read_bytes()
    made = report_made(settings, database, since=since, until=until, truth=table)
    with create_private_file(out) as stream:
        stream.write(report_content(made, kind))


def report_kind(out: Path) -> str:
    """Return what a report of this name is.

    Raises
    ------
    NodeError
        Neither HTML nor PDF.
    """
    if out.suffix not in {".html", ".pdf"}:
        raise NodeError(f"{out}: end the name in .html or .pdf")
    return out.suffix[1:]


def report_made(
    settings: Settings,
    database: Database,
    *,
    since: str | None = None,
    until: str | None = None,
    truth: bytes | None = None,
) -> Report:
    """Make the report of some time; of the last whole month if none is named.

    Parameters
    ----------
    since, until : days of the site
    truth : content of a table of it
    """
    return _made(settings, database, time_of(settings, database, since, until), truth)


def report_content(made: Report, kind: str) -> bytes:
    """Return a report as ``html`` or ``pdf``."""
    return as_html(made).encode() if kind == "html" else as_pdf(made)


def inventory_of(settings: Settings, database: Database) -> Section:
    """Return the inventory sheet of the bundle in use."""
    with database.reading() as session:
        return inventory(session, settings, read_manifest(bundle_folder(settings.model)))


def export_of(
    settings: Settings,
    database: Database,
    out: Path,
    *,
    since: str | None,
    until: str | None,
) -> int:
    """Write the table for a registry; return how many answers there are."""
    begin, end = time_of(settings, database, since, until)
    count = ExportCount()
    with create_private_file(out) as stream:
        for line in exported(settings, database, begin, end, count):
            stream.write(line.encode())
    return count.answers


def exported(
    settings: Settings,
    database: Database,
    begin: datetime,
    end: datetime,
    count: ExportCount | None = None,
) -> Iterator[str]:
    """Yield the lines of the table for a registry, as they are read."""
    key = identity_key(open_spool(settings))
    with database.reading() as session:
        found = notes(session, since=begin, until=end)
        yield from export_lines(found, count, site=settings.audit.source, key=key)


def _made(
    settings: Settings, database: Database, time: tuple[datetime, datetime], truth: bytes | None
) -> Report:
    begin, end = time
    manifest = read_manifest(bundle_folder(settings.model))
    with database.reading() as session:
        return make_report(
            session,
            settings,
            manifest,
            since=begin,
            until=end,
            zone=site_time_zone(settings.results.time_zone),
            truth=known_answers(session, since=begin, until=end)
            if truth is None
            else _against(session, truth, begin, end),
            is_calibrated=gives_probabilities(settings.model),
        )


def time_of(
    settings: Settings, database: Database, since: str | None, until: str | None
) -> tuple[datetime, datetime]:
    """Return begin and end of the time that is meant: of the last whole month if none is named.

    Raises
    ------
    NodeError
        They are no days, or end before they begin.
    """
    zone = site_time_zone(settings.results.time_zone)
    begin, end = month_before(database.now(), zone)
    if since is not None:
        begin = day_of(since, settings)
        end = database.now() if until is None else day_of(until, settings)
    elif until is not None:
        raise NodeError("--until needs --since")
    if end <= begin:
        raise NodeError(f"the time ends ({end:%Y-%m-%d}) before it begins ({begin:%Y-%m-%d})")
    return begin, end


def day_of(text: str, settings: Settings) -> datetime:
    """Return a day of the site.

    Raises
    ------
    NodeError
        It is none.
    """
    try:
        day = datetime.fromisoformat(text)
    except ValueError as error:
        raise NodeError(f"{text}: give a day as 2026-11-01") from error
    zone = site_time_zone(settings.results.time_zone)
    return day.replace(tzinfo=zone) if day.tzinfo is None else day


def _against(session: Session, table: bytes, since: datetime, until: datetime) -> list[KnownAnswer]:
    """Return the answers of some time whose truth is in a table."""
    try:
        lines = io.StringIO(table.decode("utf-8-sig"), newline="")
        known = {
            row["study_instance_uid"].strip(): row["truth"].strip() == "1"
            for row in csv.DictReader(lines)
        }
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise NodeError(
            "truth: give a CSV with the columns study_instance_uid and truth (1 or 0)"
        ) from error
    uids = select(Analysis.id, Study.study_instance_uid).join(Study, Study.id == Analysis.study_id)
    names = {number: uid for number, uid in session.execute(uids) if uid in known}
    return [
        KnownAnswer(
            at=row.at,
            scanner=observation_of(row, late_after_seconds=0.0).equipment.scanner,
            flagged=row.flagged,
            score=highest_score(row),
            is_ill=known[names[row.analysis_id]],
        )
        for row in notes(session, since=since, until=until)
        if row.analysis_id in names
    ]
