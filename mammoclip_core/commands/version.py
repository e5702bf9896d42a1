"""The option --version, which the project's three commands answer alike."""

from importlib.metadata import version
from typing import Annotated

import typer


def add_version_option(app: typer.Typer) -> None:
    """Let a command answer ``--version`` with its name and version, without any settings file."""

    def show_version(is_wanted: bool) -> None:
        if is_wanted:
            typer.echo(f"{app.info.name} {version('mammoclip-dicom')}")
            raise typer.Exit

    @app.callback()
    def _options(
        *,
        _: Annotated[
            bool,
            typer.Option(
                "--version", callback=show_version, is_eager=True, help="Print name and version."
            ),
        ] = False,
    ) -> None:
        pass
