"""The commands ``drift``, ``thresholds``, ``replay``, ``report`` and ``export``."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.audit.acts import Act
from dicom_node.commands.acting import acting
from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    emitted,
    ledger_of,
    one_line_errors,
    print_table,
)
from dicom_node.errors import NodeError

if TYPE_CHECKING:
    from dicom_node.settings.settings import Settings

SinceOption = Annotated[
    str | None,
    typer.Option(help="First day, for example 2026-11-01. Default: of the last whole month."),
]
UntilOption = Annotated[str | None, typer.Option(help="Day after the last one.")]


def add_watching_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (drift, thresholds, replay, report, export):
        app.command()(command)


def drift(
    config: ConfigOption = None,
    days: Annotated[int, typer.Option(min=1, help="Days to look back.")] = 30,
    new_reference: Annotated[
        str,
        typer.Option(
            metavar="SCANNER",
            help="Compare this scanner with the answers that come from now on. Needs --reason.",
        ),
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; only with --new-reference.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show each scanner's flag rate with its interval, and the alarms of the last days.

    A scanner is compared with its own first 1000 answers, by its software, bundle and thresholds.

    Example: mammoclip-node drift --days 7

    Example: mammoclip-node drift --new-reference "Maker Model 1234" --reason "new software"
    """
    from dicom_node.commands.model.outlooks import outlook_document, outlook_tables
    from dicom_node.studies.ledger.locks import database_time
    from dicom_node.studies.ledger.monitoring.alarm_book import reset_reference

    if new_reference:
        act = acting(config, Act.REFERENCE, detail=f"{new_reference}: {reason}")
        with one_line_errors(), act as (_, database, _said):
            if not reason.strip():
                raise NodeError("give a reason: --reason TEXT")
            from dicom_node.commands.account import account

            with database.writing() as session:
                at = database_time(session)
                reset_reference(session, new_reference, reason=reason, decided_by=account(), at=at)
            typer.echo(f"{new_reference}: what comes from now on is its reference")
        return
    with (
        one_line_errors(),
        ledger_of(config) as (settings, database),
        database.reading() as session,
    ):
        since = database_time(session) - timedelta(days=days)
        document = outlook_document(session, settings, since=since)
        if not emitted(document, as_json=as_json, json_out=None):
            for table in outlook_tables(document):
                print_table(table)


def thresholds(
    *,
    config: ConfigOption = None,
    propose: Annotated[
        str,
        typer.Option(
            metavar="EQUIPMENT",
            help="Compute thresholds for this scanner with its software. Needs --reference.",
        ),
    ] = "",
    reference: Annotated[
        str, typer.Option(metavar="EQUIPMENT", help="Equipment whose flag rate is aimed at.")
    ] = "",
    accept: Annotated[int, typer.Option(help="Judge by this set from now on.")] = 0,
    withdraw: Annotated[int, typer.Option(help="Judge by the bundle's own again.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List threshold sets, propose one for new equipment without truth, accept or withdraw one.

    A proposal is the threshold by which as many are flagged as on the reference. It assumes that
    both see the same patients, and changes nothing until a person accepts it.

    Example: mammoclip-node thresholds --propose "Maker M 7 2.0" --reference "Maker M 7 1.0"

    Example: mammoclip-node thresholds --accept 3
    """
    from dicom_node.commands.model import threshold_commands as doing

    with one_line_errors():
        if bool(propose) + bool(accept) + bool(withdraw) > 1:
            raise NodeError("give one of --propose, --accept and --withdraw")
        if propose and not reference:
            raise NodeError("a proposal needs --reference EQUIPMENT")
        if propose or accept or withdraw:
            wanted = (propose and f"propose for {propose}") or f"{accept or withdraw}"
            act = acting(config, Act.THRESHOLDS, detail=wanted)
            with act as (settings, database, said):
                done = (
                    doing.proposed(settings, database, propose, reference)
                    if propose
                    else doing.changed(database, accept=accept, withdraw=withdraw)
                )
                said.detail = "; ".join(done)
            for line in done:
                typer.echo(line)
            return
        with ledger_of(config) as (_, database):
            document = doing.listed(database)
            if not emitted(document, as_json=as_json, json_out=None):
                for line in doing.in_words(document):
                    typer.echo(line)


def replay(
    bundle: Annotated[
        str, typer.Option(help="Name of the new bundle among the further bundles of the settings.")
    ],
    since: Annotated[str, typer.Option(help="First day of the studies, for example 2026-11-01.")],
    config: ConfigOption = None,
) -> None:
    """Have past studies answered by another bundle in shadow, to compare before it is used.

    They are answered when nothing else waits; nothing is sent. 'shadow --bundle NAME' then shows
    both answers side by side, and how far they agree.

    Example: mammoclip-node replay --bundle second --since 2026-11-01
    """
    from dicom_node.drift.replay import replay as replayed

    act = acting(config, Act.REPLAY, detail=f"{bundle} since {since}")
    with one_line_errors(), act as (settings, database, said):
        count = replayed(settings, database, bundle, since=_day(since, settings))
        said.detail = f"{bundle} since {since}: {count} studies"
        typer.echo(
            f"{count} studies are answered by {bundle} when nothing else waits; see "
            f"'mammoclip-node shadow --bundle {bundle}'"
        )


def report(
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="File to write, .html or .pdf; must be new.")
    ],
    config: ConfigOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with the columns study_instance_uid and truth (1: cancer, 0: none).",
        ),
    ] = None,
) -> None:
    """Write the monthly report: twelve metrics, alarms, thresholds, and the inventory sheet.

    It names no patient.

    Example: mammoclip-node report --out november.html
    """
    from dicom_node.commands.model.reporting import report_of

    act = acting(config, Act.REPORT, detail=str(out))
    with one_line_errors(), act as (settings, database, _):
        begin = None if since is None else _day(since, settings)
        end = None if until is None else _day(until, settings)
        report_of(settings, database, out, since=begin, until=end, truth=truth)
        typer.echo(f"{out} written")


def export(
    out: Annotated[Path, typer.Option(dir_okay=False, help="CSV file to write; must be new.")],
    config: ConfigOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Write answers as a table for a registry such as Assess-AI: no UID, no patient, no text.

    Example: mammoclip-node export --out november.csv
    """
    from dicom_node.commands.model.reporting import export_of

    act = acting(config, Act.EXPORT, detail=str(out))
    with one_line_errors(), act as (settings, database, said):
        begin = None if since is None else _day(since, settings)
        end = None if until is None else _day(until, settings)
        count = export_of(settings, database, out, since=begin, until=end)
        said.detail = f"{out}: {count} answers"
        typer.echo(f"{count} answers in {out}")


def _day(text: str, settings: "Settings") -> datetime:
    from dicom_node.objects.elements.local_time import site_time_zone

    try:
        day = datetime.fromisoformat(text)
    except ValueError as error:
        raise NodeError(f"{text}: give a day as 2026-11-01") from error
    zone = site_time_zone(settings.results.time_zone)
    return day.replace(tzinfo=zone) if day.tzinfo is None else day
