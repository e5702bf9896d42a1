"""The commands ``drift``, ``thresholds``, ``replay``, ``report`` and ``export``."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

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
    from dicom_node.commands.account import account
    from dicom_node.commands.model.outlooks import new_reference as begun
    from dicom_node.commands.model.outlooks import outlook_document, outlook_tables
    from dicom_node.studies.ledger.locks import database_time

    if new_reference:
        act = acting(config, Act.REFERENCE, detail=f"{new_reference}: {reason}")
        with one_line_errors(), act as (_, database, _said):
            typer.echo(begun(database, new_reference, reason, by=account()))
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
        doing.require_one_wish(propose, reference, accept, withdraw)
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
    from dicom_node.commands.model.reporting import day_of
    from dicom_node.drift.replay import replay as replayed
    from dicom_node.drift.replay import replayed_in_words

    act = acting(config, Act.REPLAY, detail=f"{bundle} since {since}")
    with one_line_errors(), act as (settings, database, said):
        count = replayed(settings, database, bundle, since=day_of(since, settings))
        said.detail = f"{bundle} since {since}: {count} studies"
        typer.echo(replayed_in_words(count, bundle))


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
        report_of(settings, database, out, since=since, until=until, truth=truth)
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
        count = export_of(settings, database, out, since=since, until=until)
        said.detail = f"{out}: {count} answers"
        typer.echo(f"{count} answers in {out}")
