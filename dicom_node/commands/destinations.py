"""The commands about destinations: how each is, and what waits for one that is gone."""

from dataclasses import asdict
from typing import Annotated

import typer

from dicom_node.audit.acts import Act
from dicom_node.commands.acting import acting
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
    for command in (destinations, move_deliveries, drop_deliveries):
        app.command()(command)


def destinations(
    config: ConfigOption = None, as_json: JsonOption = False, json_out: JsonOutOption = None
) -> None:
    """List the destinations: whether each takes results, since when not and why, how many wait.

    ready; failing: its last deliveries failed; down: what is due waits, and it is asked whether it
    answers; trying: it answers, and one delivery is tried; held: paused; dry: results are made and
    validated, and not sent; removed: deliveries wait for it or for its proof, and it is not in the
    settings.

    Example: mammoclip-node destinations
    """
    from dicom_node.commands.tables import destinations_table
    from dicom_node.studies.ledger.destinations.overview import destination_summaries

    with one_line_errors(), ledger_of(config) as (settings, database):
        names = tuple(one.name for one in settings.destinations)
        with database.reading() as session:
            dry = {one.name for one in settings.destinations if one.dry}
            known = settings.destination_names
            summaries = destination_summaries(session, names, known=known, dry=dry)
        document = {"destinations": [asdict(one) for one in summaries]}
        if not emitted(document, as_json=as_json, json_out=json_out):
            print_table(destinations_table(summaries))


ReasonOption = Annotated[str, typer.Option(help="Why; kept in the history of each study.")]


def move_deliveries(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Destination that they wait for.")],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="Destination in the settings that gets them.")
    ],
    *,
    reason: ReasonOption,
    config: ConfigOption = None,
) -> None:
    """Send what waits for a destination to another one, as when it was renamed or replaced.

    What a destination that left the settings has accepted and not proven is not sent again: the
    other one is asked for it. The history keeps who moved them and why. What is being sent just now
    is left as it is.

    Example: mammoclip-node move-deliveries pacs archive --reason "pacs was replaced"
    """
    from dicom_node.commands.operate.redirecting import moved

    act = acting(config, Act.MOVE_DELIVERIES, detail=f"{old} to {new}: {reason}")
    with one_line_errors(), act as (settings, database, _):
        for line in moved(settings, database, old, new, reason):
            typer.echo(line)


def drop_deliveries(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Destination that they wait for.")],
    *,
    reason: ReasonOption,
    config: ConfigOption = None,
) -> None:
    """Give up what waits for a destination: it reads expired, and 'retry' can still send it.

    Of a destination that left the settings no proof is wanted any more either: the files of what
    it has accepted may be removed after their time. The history keeps who dropped them and why.
    What is being sent just now is left as it is.

    Example: mammoclip-node drop-deliveries pacs --reason "pacs was shut down"
    """
    from dicom_node.commands.operate.redirecting import dropped

    act = acting(config, Act.DROP_DELIVERIES, detail=f"{name}: {reason}")
    with one_line_errors(), act as (settings, database, _):
        for line in dropped(settings, database, name, reason):
            typer.echo(line)
