"""What ``studies`` and ``show`` say, as documents; printed alike, wherever they come from."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import typer
from sqlalchemy.orm import Session

from dicom_node.commands.tables import set_aside_table, studies_table, study_record_tables
from dicom_node.commands.terminal import print_table
from dicom_node.commands.waiting import WaitingObjects, waiting_objects
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.destinations.overview import causes
from dicom_node.studies.ledger.due.pauses import Paused, PauseFacts, pauses
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.search.naming import study_named
from dicom_node.studies.ledger.search.study_search import StudyFilter, find_studies


def studies_document(
    settings: Settings, session: Session, wanted: StudyFilter, *, limit: int
) -> dict[str, Any]:
    """Return what ``studies`` lists, most recently received first."""
    waiting = waiting_objects(settings.spool)
    known = settings.destination_names
    found = find_studies(session, wanted, limit=limit, destinations=known).studies
    summaries = reading.summaries_of(session, found, destinations=known)
    return {
        "studies": [asdict(one) for one in summaries],
        "set_aside": reading.set_aside_without_study(session, limit=limit),
        **_what_holds(settings, session, waiting),
    }


def print_studies(document: Mapping[str, Any]) -> None:
    """Print the document of ``studies`` for people."""
    print_table(studies_table([reading.StudySummary(**one) for one in document["studies"]]))
    if document["set_aside"]:
        print_table(set_aside_table(document["set_aside"]))
    _print_what_holds(document)


def study_document(
    settings: Settings, session: Session, name: str, *, limit: int
) -> dict[str, Any]:
    """Return what ``show`` says of a study.

    Parameters
    ----------
    name : Study Instance UID, or accession number
    limit : rows of each kind

    Raises
    ------
    UnknownStudyError, NodeError
        There is no such study, or several.
    """
    waiting = waiting_objects(settings.spool)
    found = reading.find_study(session, study_named(session, name))
    known = settings.destination_names
    record = reading.study_record(session, found, limit=limit, destinations=known)
    return {
        **record,
        "summary": asdict(record["summary"]),
        **_what_holds(settings, session, waiting),
    }


def print_study(document: Mapping[str, Any]) -> None:
    """Print the document of ``show`` for people."""
    record = {**document, "summary": reading.StudySummary(**document["summary"])}
    for table in study_record_tables(record):
        print_table(table)
    for kind, count in document["left_out"].items():
        typer.echo(f"{count} older {kind} are not shown: see --limit")
    _print_what_holds(document)


def _what_holds(settings: Settings, session: Session, waiting: WaitingObjects) -> dict[str, Any]:
    return {
        "waiting": asdict(waiting),
        "paused": [asdict(one) for one in pauses(session)],
        "failing": causes(session, settings.destination_names),
    }


def _print_what_holds(document: Mapping[str, Any]) -> None:
    for one in document["paused"]:
        typer.echo(PauseFacts(**{**one, "kind": Paused(one["kind"])}).in_words())
    for line in document["failing"]:
        typer.echo(line)
    waiting = WaitingObjects(**document["waiting"])
    if waiting.objects:
        typer.echo(waiting.in_words())
