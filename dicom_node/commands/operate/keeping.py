"""The commands that keep the ledger and the spool: back-up, and the way back to a release."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.audit.acts import Act
from dicom_node.commands.acting import acting
from dicom_node.commands.terminal import ConfigOption, one_line_errors


def add_keeping_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (back_up, migrate_back):
        app.command()(command)


def back_up(
    folder: Annotated[
        Path, typer.Argument(file_okay=False, help="Folder to write; must be new or empty.")
    ],
    config: ConfigOption = None,
) -> None:
    """Copy ledger and spool to a folder, while node and workers go on.

    The folder holds patient data, and is a spool: put it where the settings name one, and start
    the node. A ledger in PostgreSQL is not copied: dump it with pg_dump before this command.

    Example: mammoclip-node back-up /backup/2026-11-29
    """
    from datetime import UTC, datetime

    from dicom_node.spool.back_up import BackUp
    from dicom_node.spool.files.removal import reading
    from dicom_node.studies.ledger.copying import copy_ledger
    from dicom_node.studies.ledger.schema import SCHEMA

    act = acting(config, Act.BACK_UP, detail=str(folder))
    with one_line_errors(), act as (settings, database, _):
        # Nothing is removed meanwhile: a row of the copied ledger may need its file.
        with reading(settings.spool):
            target = BackUp(folder)
            target.copy_messages(settings.spool)
            has_ledger = copy_ledger(database, folder / "ledger.sqlite")
            target.copy_spool(settings.spool)
            target.finish(made_at=datetime.now(UTC).isoformat(timespec="seconds"), schema=SCHEMA)
        typer.echo(f"{target.files} files of {target.size_bytes / 1e6:.1f} MB in {folder}")
        if not has_ledger:
            typer.echo(
                "The ledger is in another database and not in there: it must have been dumped "
                "before, see docs/upgrading.md",
                err=True,
            )


def migrate_back(
    schema: Annotated[
        str, typer.Argument(metavar="SCHEMA", help="Of the release to go back to, four digits.")
    ],
    config: ConfigOption = None,
) -> None:
    """Take the ledger back to the schema of an earlier release, before that is installed.

    Stop the node and all workers first. What that release cannot hold is lost: proofs of delivery,
    pauses and the like; no study, image, result or delivery. The queues of the broker are emptied.

    Example: mammoclip-node migrate-back 0008
    """
    from dicom_node.node_parts import open_spool
    from dicom_node.studies.broker import (
        DELIVER_QUEUE,
        GPU_QUEUE,
        Broker,
        broker_options,
    )
    from dicom_node.studies.ledger.schema import SCHEMA

    with (
        one_line_errors(),
        acting(config, Act.MIGRATE_BACK, detail=schema) as (settings, database, _),
        open_spool(settings).owned(),
    ):
        database.migrate_back(schema)
        typer.echo(f"The ledger had schema {SCHEMA} and has {schema} now.")
        broker = Broker(**broker_options(settings))
        # Workers of that release would put its messages back for ever.
        count = sum(broker.empty(queue) for queue in (GPU_QUEUE, DELIVER_QUEUE))
        typer.echo(f"{count} messages discarded; that release sends its own.")
