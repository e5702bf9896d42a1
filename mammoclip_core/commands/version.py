"""The option --version, which the project's three commands answer alike."""

from importlib.metadata import version
from typing import Annotated, Any

import typer


def version_option(name: str) -> Any:
    """Return the option that prints the name of a command and its version."""

    def show_version(is_wanted: bool) -> None:
        if is_wanted:
            typer.echo(f"{name} {version('mammoclip-dicom')}")
            raise typer.Exit

    return typer.Option(
        "--version", callback=show_version, is_eager=True, help="Print name and version."
    )


def add_version_option(app: typer.Typer) -> None:
    """Let a command answer ``--version`` with its name and version, without any settings file."""

    @app.callback()
    def _options(*, _: Annotated[bool, version_option(str(app.info.name))] = False) -> None:
        pass
