"""The commands for those who look after a node: why a study stands as it does, and metrics."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.commands.terminal import (
    ConfigOption,
    StudyArgument,
    ledger_of,
    one_line_errors,
)


def add_observing_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (why, metrics):
        app.command()(command)


def why(study: StudyArgument, config: ConfigOption = None) -> None:
    """Say in words what happened to a study so far, what it waits for, and what to do next.

    'show' has the details, and the history.

    Example: mammoclip-node why 1.2.826.0.1.3680043.8.498.1
    """
    from dicom_node.commands.observe import why as explaining

    with one_line_errors(), ledger_of(config) as (settings, database):
        with database.reading() as session:
            known = settings.destination_names
            lines = explaining.why(session, study, destinations=known)
        for line in lines:
            typer.echo(line)


def metrics(
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="File to write, readable by every account and never half written; it ends in "
            ".prom for the textfile collector of node_exporter. Default: standard output.",
        ),
    ] = None,
) -> None:
    """Write the figures of ledger and spool in Prometheus' text format. No patient data.

    Run it once a minute by a timer; docs/monitoring.md has the metrics and alert rules.

    Example: mammoclip-node metrics --out /var/lib/prometheus/node-exporter/mammoclip.prom
    """
    from dicom_node.commands.observe.metrics import metrics_text, write_whole

    with one_line_errors(), ledger_of(config) as (settings, database):
        text = metrics_text(settings, database)
        if out is None:
            typer.echo(text, nl=False)
        else:
            write_whole(out, text)
