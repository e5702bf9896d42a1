"""What the commands of mammoclip-node share: their options, the ledger, output and errors."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicom_node.errors import NodeError

if TYPE_CHECKING:
    from dicom_node.facts.pseudonyms import Pseudonyms
    from dicom_node.settings.settings import Settings
    from dicom_node.studies.ledger.database import Database

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="MAMMOCLIP_CONFIG",
        help="Settings file. Default: mammoclip.toml in the current folder.",
    ),
]
StudyArgument = Annotated[str, typer.Argument(help="Study Instance UID.")]
StudyOrAccessionArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study Instance UID, or accession number.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
JsonOutOption = Annotated[Path | None, typer.Option(help="Also write the JSON to this file.")]


def settings_of(config: Path | None) -> "Settings":
    """Read the settings file that a person names, or the default one, and log as it says.

    What a command logs goes to standard error: standard output holds what it was asked for alone.
    """
    from dicom_node.logs import configure_logs
    from dicom_node.settings.reading import load_settings

    settings = load_settings(config)
    configure_logs(settings.log_format)
    return settings


def pseudonyms_of(settings: "Settings") -> "Pseudonyms":
    """Return what makes pseudonyms, by the key in the spool of the settings.

    Raises
    ------
    NodeError
        The spool has no key.
    """
    from dicom_node.facts.pseudonyms import Pseudonyms
    from dicom_node.spool.identity_key import identity_key_in

    key = identity_key_in(settings.spool)
    if key is None:
        raise NodeError(
            f"the spool {settings.spool} has no key for pseudonyms yet: it has one once the node "
            "has received something"
        )
    return Pseudonyms(key)


@contextmanager
def ledger_of(config: Path | None) -> Iterator[tuple["Settings", "Database"]]:
    """Open the ledger of the settings, whose tables a node has made."""
    from dicom_node.commands.waiting import mentioning_waiting_objects
    from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database, no_answer

    settings = settings_of(config)
    database = Database(settings.ledger_url)
    try:
        database.require_schema()
        with mentioning_waiting_objects(settings.spool):
            yield settings, database
    except DATABASE_TROUBLE as error:
        raise no_answer(error) from error
    finally:
        database.close()


def emitted(document: dict[str, Any], *, as_json: bool, json_out: Path | None) -> bool:
    """Write a document as JSON where that is asked for; return whether it was printed."""
    text = json.dumps(document, indent=2, default=str, ensure_ascii=False)
    if json_out is not None:
        json_out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
    return as_json


def print_table(table: Any) -> None:
    """Print a table, in full width where no person watches, and every word of it as it is."""
    from rich.console import Console

    # "[[destinations]]" in a reason, or what came from the network, is no markup.
    console = Console(markup=False, emoji=False)
    if not sys.stdout.isatty():
        console.width = 200
    console.print(table)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print expected errors in one line; let unexpected ones show their traceback."""
    try:
        yield
    except NodeError as error:
        typer.echo(f"mammoclip-node: {error}", err=True)
        raise typer.Exit(1) from error
    except FileExistsError as error:
        typer.echo(f"mammoclip-node: {error.filename} already exists and was not changed", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        typer.echo(f"mammoclip-node: {about}{error.strerror or error}", err=True)
        raise typer.Exit(1) from error
