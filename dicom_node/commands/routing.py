"""The commands about rules: which one takes a study and why, and how bundles compare."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    JsonOutOption,
    emitted,
    ledger_of,
    one_line_errors,
    settings_of,
)
from dicom_node.errors import NodeError


def add_routing_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    app.command(name="test-rule")(test_rule)
    app.command()(shadow)


def test_rule(
    paths: Annotated[
        list[Path], typer.Argument(help="DICOM files, or folders with DICOM files.", metavar="PATH")
    ],
    *,
    config: ConfigOption = None,
    sender: Annotated[
        str | None,
        typer.Option(
            help="Calling AE title of the sender. Default: as the files tell, if they do."
        ),
    ] = None,
    called: Annotated[
        str | None,
        typer.Option(help="AE title by which it calls the node. Default: as the files tell."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="IP address of the sender. Default: as the files tell."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Date and time of the study's arrival, as 2026-03-31T22:15, on the clocks of the "
            "site unless it has an offset. Default: now."
        ),
    ] = None,
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """Say which rule takes a study, and why, step by step. Nothing is sent, analysed or entered.

    The rules are those of the settings file as it is now, and decide by the same code as the node.
    Of each study only what the conditions speak of is printed.

    Example: mammoclip-node test-rule study/ --sender ROOM1 --at 2026-03-31T22:15

    Exit status: 0 if every study was decided on, 1 if a rule is wrong or no study was found.
    """
    from dicom_node.commands.rule_trial import Journey, arrival_of, try_rules
    from dicom_node.model_bundle import findings_of
    from dicom_node.spool.files.removal import reading

    with one_line_errors():
        settings = settings_of(config)
        for path in paths:
            if not path.exists():
                raise NodeError(f"there is no file or folder {path}")
        with reading(paths[0]):
            trials, passed_over = try_rules(
                settings,
                findings_of(settings),
                paths,
                journey=Journey(sender=sender, called=called, address=address),
                at=arrival_of(at, settings.results.time_zone),
            )
        document = {
            "studies": [one.as_document() for one in trials],
            "passed_over": [{"file": str(file), "reason": why} for file, why in passed_over],
        }
        if not emitted(document, as_json=as_json, json_out=json_out):
            for trial in trials:
                for line in trial.in_words():
                    typer.echo(line)
            for file, why in passed_over:
                typer.echo(f"{file}: passed over: {why}", err=True)
        if not trials:
            raise NodeError("no DICOM object of a study was found: name files or folders with some")
        if any(one.route is not None and one.route.held for one in trials):
            raise typer.Exit(1)


def shadow(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of answers.")] = 200,
    bundle: Annotated[
        str, typer.Option(help="Name of one further bundle of the settings. Default: all.")
    ] = "",
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """Compare the answers of bundles in shadow with those that were sent, the newest first.

    For each study and finding both highest scores; * marks those above the bundle's threshold.
    Below them, for each bundle and finding, how far the two agree.

    Example: mammoclip-node shadow --bundle second
    """
    from dicom_node.commands.shadow_report import print_shadows, shadow_document
    from dicom_node.studies.shadow_comparison import comparisons

    with one_line_errors(), ledger_of(config) as (_, database), database.reading() as session:
        compared = comparisons(session, limit=limit, bundle=bundle)
        document = shadow_document(compared)
        if not emitted(document, as_json=as_json, json_out=json_out):
            print_shadows(compared)
