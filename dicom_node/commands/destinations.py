"""The commands about destinations: how each is, and what waits for one that is gone."""

from dataclasses import asdict

import typer

from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    JsonOutOption,
    emitted,
    ledger_of,
    one_line_errors,
    print_table,
)


def add_destination_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (destinations,):
        app.command()(command)


def destinations(
    config: ConfigOption = None, as_json: JsonOption = False, json_out: JsonOutOption = None
) -> None:
    """List the destinations: whether each takes results, since when not and why, how many wait.

    ready; failing: its last deliveries failed; down: what is due waits, and it is asked whether it
    answers; trying: it answers, and one delivery is tried; held: paused; removed: deliveries wait,
    and it is not in the settings.

    Example: mammoclip-node destinations
    """
    from dicom_node.commands.tables import destinations_table
    from dicom_node.studies.ledger.destination_overview import destination_summaries

    with one_line_errors(), ledger_of(config) as (settings, database):
        names = tuple(one.name for one in settings.destinations)
        with database.reading() as session:
            summaries = destination_summaries(session, names)
        document = {"destinations": [asdict(one) for one in summaries]}
        if not emitted(document, as_json=as_json, json_out=json_out):
            print_table(destinations_table(summaries))
