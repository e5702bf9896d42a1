"""The command that fetches old studies from an archive, by a list."""

import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    emitted,
    ledger_of,
    one_line_errors,
    pseudonyms_of,
)
from dicom_node.errors import NodeError

if TYPE_CHECKING:
    from dicom_node.facts.pseudonyms import Pseudonyms
    from dicom_node.fetch.retrospective_run import Archive, Fetched
    from dicom_node.settings.settings import Settings
    from dicom_node.spool.local_disk import Spool
    from dicom_node.studies.ledger.database import Database

_LOOK_SECONDS = 2.0


def add_run_commands(app: typer.Typer) -> None:
    """Add the command to a command line."""
    app.command()(run)


def run(
    studies: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            metavar="LIST.csv",
            help="Studies, one a line; columns study_instance_uid, accession_number, or "
            "patient_id with from and to (dates such as 20260131).",
        ),
    ],
    archive: Annotated[
        str, typer.Option("--archive", help="The archive to ask: the name of a destination.")
    ],
    *,
    config: ConfigOption = None,
    retrieve: Annotated[
        bool,
        typer.Option(
            "--retrieve",
            help="Retrieve the images. Without: a dry run, which says what there is and keeps "
            "nothing.",
        ),
    ] = False,
    skip_bad_lines: Annotated[
        bool,
        typer.Option("--skip-bad-lines", help="Go on with the other lines. Default: refuse all."),
    ] = False,
    per_hour: Annotated[
        float, typer.Option(min=0, help="Studies to retrieve in an hour at most; 0: no limit.")
    ] = 0.0,
    off_peak: Annotated[
        bool, typer.Option("--off-peak", help="Retrieve within work.off_peak_hours only.")
    ] = False,
    priority: Annotated[
        Literal["stat", "routine", "off-peak"],
        typer.Option(help="When the node analyses them: stat, routine or off-peak."),
    ] = "off-peak",
    table: Annotated[
        Path | None,
        typer.Option(help="Write scores and reasons to this file: .csv, .jsonl or .parquet."),
    ] = None,
    pseudonyms: Annotated[
        bool,
        typer.Option(
            "--pseudonyms",
            help="Write pseudonyms for all UIDs into the table, by the key of the spool. Default: "
            "fetch.pseudonyms.",
        ),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait until all is analysed, which node and workers do, then write the table.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch the mammograms of old studies from an archive, for the node to analyse.

    By C-FIND and C-GET or C-MOVE, or by QIDO-RS and WADO-RS: only images of kinds that are
    analysed, and only what the node lacks. If it is interrupted, run it again. First without
    --retrieve: how many, how large, how long, measured by some studies that are retrieved and not
    kept.

    Example: mammoclip-node run LIST.csv --archive pacs

    Example: mammoclip-node run LIST.csv --archive pacs --retrieve --wait --table scores.csv

    Exit status: 0 if every line was found and nothing is left to do, 1 if not.
    """
    from dicom_node.commands.batches.run_reports import run_document, run_lines
    from dicom_node.facts.priority import OF_WORDS
    from dicom_node.fetch.archives import classes_analysed
    from dicom_node.fetch.held_by_the_node import held_now, received_of, waiting_in
    from dicom_node.fetch.moving_archive import MovingArchive
    from dicom_node.fetch.pace import Pace, StartsFile
    from dicom_node.fetch.priors import priors_of
    from dicom_node.fetch.retrospective_run import RetrospectiveRun
    from dicom_node.fetch.study_list import read_list
    from dicom_node.fetch.trial import Trial
    from dicom_node.listed_lines import ListedLinesError
    from dicom_node.node_parts import open_spool
    from dicom_node.receive.files.file_intake import FileIntake, file_intake, prepare_spool
    from dicom_node.studies.off_peak import off_peak_of
    from mammoclip_core.commands.progress_bar import counted

    with one_line_errors(), ledger_of(config) as (settings, database):
        if table is not None:
            _check_table(table)
        found = read_list(studies)
        for bad in found.bad:
            typer.echo(f"line {bad.line}: {bad.reason}", err=True)
        if found.bad and not skip_bad_lines:
            raise ListedLinesError(
                f"{len(found.bad)} of {len(found.bad) + len(found.wanted)} lines are wrong: "
                "correct them, or give --skip-bad-lines"
            )
        spool = open_spool(settings)
        prepare_spool(spool)
        waiting = waiting_in(spool)  # before the ledger is asked: what is registered is there

        def held(study: str, wanted: Any) -> set[str]:
            with database.reading() as session:
                # One that was fetched for comparison is now asked for itself.
                received = received_of(session, study, wanted, with_priors=False)
            return received | {uid for uid in wanted if (study, uid) in waiting}

        def opened(*, is_prior: bool = False) -> AbstractContextManager[FileIntake]:
            spool.require_space()  # else every study that is left would be asked for in vain
            return file_intake(
                settings.receive,
                spool,
                origin="run",
                calling_ae_title="RUN",
                priority=OF_WORDS[priority],
                is_prior=is_prior and not settings.fetch.analyse_priors,
            )

        is_off_peak = off_peak_of(settings)
        pace = Pace(
            per_hour=per_hour,
            may_go_on=(lambda: is_off_peak(database.now())) if off_peak else lambda: True,
            starts=StartsFile(spool.root, archive),
        )
        trial = Trial(
            spool.root / "partial",
            maximum_bytes=settings.receive.maximum_object_bytes,
            lines=len(found.wanted),
        )
        asked = _archive_of(settings, archive, spool, database)
        fetching = RetrospectiveRun(
            asked,
            held=held,
            open_intake=opened if retrieve else None,
            classes=classes_analysed(settings),
            pace=pace,
            priors=priors_of(
                settings.fetch,
                held_now(database, spool),
                partial(opened, is_prior=True) if retrieve else None,
            ),
            # By C-MOVE the node itself would get what is tried.
            trial=None if isinstance(asked, MovingArchive) else trial,
        )
        with counted(len(found.wanted), "studies") as next_line:
            fetched = fetching.fetch(found.wanted, on_line=next_line)
        if wait and retrieve:
            _wait_for_analyses(database, fetched)
        if table is not None:
            keyed = pseudonyms or settings.fetch.pseudonyms
            _write(database, fetched, table, pseudonyms_of(settings) if keyed else None)
        document = run_document(fetched, found.bad, pace, trial)
        if not emitted(document, as_json=as_json, json_out=None):
            for line in run_lines(fetched, pace, trial, is_dry=not retrieve):
                typer.echo(line)
        if not fetched.is_whole or found.bad:
            raise typer.Exit(1)


def _archive_of(settings: "Settings", name: str, spool: "Spool", database: "Database") -> "Archive":
    from dicom_node.fetch.archives import archive_of

    found = settings.archive(name)
    if found is None:
        known = ", ".join(one.name for one in settings.archives)
        raise NodeError(
            f"there is no archive {name!r} in the settings to ask; there are: {known or 'none'}"
        )
    return archive_of(settings, found, spool=spool, database=database)


def _wait_for_analyses(database: Any, fetched: "Fetched") -> None:
    from dicom_node.fetch.held_by_the_node import is_under_way

    while True:
        with database.reading() as session:
            if not is_under_way(session, fetched.studies):
                return
        time.sleep(_LOOK_SECONDS)


def _check_table(table: Path) -> None:
    from mammoclip_core.errors import CoreError
    from mammoclip_core.many_studies.tables import check_table

    try:
        check_table(table)
    except CoreError as error:
        raise NodeError(str(error)) from error


def _write(database: Any, fetched: "Fetched", table: Path, pseudonyms: "Pseudonyms | None") -> None:
    from dicom_node.fetch.held_by_the_node import TABLE_COLUMNS, rows_of_run
    from mammoclip_core.many_studies.tables import write_table

    part = table.with_name(f".{table.name}.part")
    with database.reading() as session:
        rows = rows_of_run(session, fetched.studies)
        if pseudonyms is not None:
            rows = map(pseudonyms.row, rows)
        write_table(rows, table, part, TABLE_COLUMNS)
