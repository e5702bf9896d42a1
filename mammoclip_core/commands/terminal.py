"""Shared by the commands of mammoclip-predict: open bundles, show terms, report errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mammoclip_core.manifest import Manifest


def opened(bundle: Path | None) -> tuple[Path, "Manifest"]:
    """Return a bundle's folder, the demonstration bundle's without one, and its manifest."""
    from mammoclip_core.bundles.demonstration import demonstration_bundle
    from mammoclip_core.manifest import read_manifest

    folder = demonstration_bundle() if bundle is None else bundle
    return folder, read_manifest(folder)


def show_manifest(manifest: "Manifest", *, as_json: bool) -> None:
    """Print the manifest of a bundle."""
    from mammoclip_core.commands.tables import manifest_table, show

    if as_json:
        typer.echo(json.dumps(asdict(manifest), indent=2, ensure_ascii=False))
    else:
        show(manifest_table(manifest))


def accept_terms(manifest: "Manifest", accepted: str | None) -> None:
    """Show the terms of use; refuse a licence phrase that is not the bundle's.

    A node needs the phrase in its settings. Here a person has named the bundle by hand.
    """
    from mammoclip_core.manifest import require_acceptance

    require_acceptance(manifest, manifest.acceptance if accepted is None else accepted)
    if accepted is None and manifest.acceptance is not None:
        typer.echo(terms(manifest), err=True)
    warn(manifest)


def terms(manifest: "Manifest") -> str:
    """Return the terms of use in one line."""
    return f"{manifest.name} is under {manifest.licence}: {manifest.permitted_use} only"


def warn(manifest: "Manifest") -> None:
    """Print the warning of a bundle, if it has one."""
    if manifest.warning:
        typer.echo(manifest.warning, err=True)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print errors that a user can correct in one line; let bugs through."""
    from mammoclip_core.errors import CoreError

    try:
        yield
    except CoreError as error:
        typer.echo(f"mammoclip-predict: {error}", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        typer.echo(f"mammoclip-predict: {error.filename}: {reason}", err=True)
        raise typer.Exit(1) from error
