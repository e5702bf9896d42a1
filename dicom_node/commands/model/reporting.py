"""What ``mammoclip-node report`` and ``export`` do."""

import csv
import io
import json
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.drift.export import write_export
from dicom_node.drift.report import Report, Section, inventory, make_report, month_before
from dicom_node.drift.report_pages import as_html, as_pdf
from dicom_node.errors import NodeError
from dicom_node.model_bundle import bundle_folder
from dicom_node.monitoring.agreement import Agreement, agreement
from dicom_node.node_parts import open_spool
from dicom_node.objects.elements.local_time import site_time_zone
from dicom_node.settings.settings import Settings
from dicom_node.spool.files.private_files import create_private_file
from dicom_node.spool.identity_key import identity_key
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.monitoring.notes import notes
from dicom_node.studies.ledger.tables import Analysis, Study
from mammoclip_core.manifest import read_manifest


def report_of(
    settings: Settings,
    database: Database,
    out: Path,
    *,
    since: datetime | None,
    until: datetime | None,
    truth: Path | None,
) -> None:
    """Write the report of some time; of the last whole month if none is named.

    Raises
    ------
    NodeError
        The file is neither HTML nor PDF, or the table of truth is none.
    FileExistsError
        The file exists already.
    """
    if out.suffix not in {".html", ".pdf"}:
        raise NodeError(f"{out}: end the name in .html or .pdf")
    made = _made(settings, database, _time(settings, database, since, until), truth)
    content = as_html(made).encode() if out.suffix == ".html" else as_pdf(made)
    with create_private_file(out) as stream:
        stream.write(content)


def monthly_report(settings: Settings, database: Database) -> Report:
    """Make the report of the last whole month, without truth."""
    return _made(settings, database, _time(settings, database, None, None), None)


def inventory_of(settings: Settings, database: Database) -> Section:
    """Return the inventory sheet of the bundle in use."""
    with database.reading() as session:
        return inventory(session, settings, read_manifest(bundle_folder(settings.model)))


def export_of(
    settings: Settings,
    database: Database,
    out: Path,
    *,
    since: datetime | None,
    until: datetime | None,
) -> int:
    """Write the table for a registry; return how many answers there are."""
    begin, end = _time(settings, database, since, until)
    key = identity_key(open_spool(settings))
    with (
        create_private_file(out) as raw,
        io.TextIOWrapper(raw, encoding="utf-8") as stream,
        database.reading() as session,
    ):
        found = notes(session, since=begin, until=end)
        return write_export(found, stream, site=settings.audit.source, key=key)


def _made(
    settings: Settings, database: Database, time: tuple[datetime, datetime], truth: Path | None
) -> Report:
    begin, end = time
    with database.reading() as session:
        return make_report(
            session,
            settings,
            read_manifest(bundle_folder(settings.model)),
            since=begin,
            until=end,
            zone=site_time_zone(settings.results.time_zone),
            truth=None if truth is None else _against(session, truth, begin, end),
        )


def _time(
    settings: Settings, database: Database, since: datetime | None, until: datetime | None
) -> tuple[datetime, datetime]:
    zone = site_time_zone(settings.results.time_zone)
    begin, end = month_before(database.now(), zone)
    if since is not None:
        begin, end = since, until or database.now()
    elif until is not None:
        raise NodeError("--until needs --since")
    if end <= begin:
        raise NodeError(f"the time ends ({end:%Y-%m-%d}) before it begins ({begin:%Y-%m-%d})")
    return begin, end


def _against(session: Session, table: Path, since: datetime, until: datetime) -> Agreement | None:
    """Compare the answers of some time with a table of truth; None if none of them is in it."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            known = {
                row["study_instance_uid"].strip(): row["truth"].strip() == "1"
                for row in csv.DictReader(stream)
            }
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise NodeError(
            f"{table}: give a CSV with the columns study_instance_uid and truth (1 or 0)"
        ) from error
    flagged, scores, truth = [], [], []
    uids = select(Analysis.id, Study.study_instance_uid).join(Study, Study.id == Analysis.study_id)
    names = {number: uid for number, uid in session.execute(uids) if uid in known}
    for row in notes(session, since=since, until=until):
        if row.analysis_id in names:
            flagged.append(row.flagged)
            scores.append(max((one for one, _ in json.loads(row.scores).values()), default=0.0))
            truth.append(known[names[row.analysis_id]])
    return agreement(flagged, scores, truth) if truth else None
