"""The commands of mammoclip-predict that make bundles: convert, fetch, demonstration-bundle."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mammoclip_core.commands.options import BundleOut, DetectorOption, HeadOption, JsonOption
from mammoclip_core.commands.terminal import one_line_errors, show_manifest, terms, warn


def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="Published pretraining checkpoint."),
    ],
    *,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Tokenizer of the text encoder: a folder with vocab.txt (for Mammo-FM:"
            " tokenizer.json), or its name on the model hub."
        ),
    ] = None,
    image_only: Annotated[
        bool, typer.Option("--image-only", help="Omit the text encoder; no tokenizer is needed.")
    ] = False,
    out: BundleOut,
    head: HeadOption = None,
    detector: DetectorOption = None,
    factor: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Mammo-FActOR weights (.safetensors)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Convert published checkpoints into a bundle; no code in them is executed.

    Example: mammoclip-predict convert b5-model-best-epoch-7.tar --tokenizer bio_clinicalbert/
    --head cancer=cancer.pth --out bundles/b5
    """
    if image_only == (tokenizer is not None):
        raise typer.BadParameter("give exactly one of --tokenizer and --image-only")
    with one_line_errors():
        from mammoclip_core.published.convert import convert as convert_checkpoint

        manifest = convert_checkpoint(
            checkpoint,
            tokenizer,
            out,
            heads=_named_files(head, "--head"),
            factor=factor,
            detectors=_named_files(detector, "--detector"),
        )
        typer.echo(terms(manifest), err=True)
        show_manifest(manifest, as_json=as_json)


def fetch(
    model: Annotated[str, typer.Argument(help="b5 (best results) or b2 (smaller, faster).")],
    *,
    out: BundleOut,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence without a prompt.")
    ] = False,
    downloads: Annotated[
        Path | None,
        typer.Option(help="Folder for the downloaded files. Default: the user's cache folder."),
    ] = None,
    head: HeadOption = None,
    detector: DetectorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download the published weights and their tokenizer from the model hub, and convert them.

    Shows the licence and asks for acceptance. An interrupted download is resumed by the next run.

    Example: mammoclip-predict fetch b5 --out bundles/b5
    """
    with one_line_errors():
        from mammoclip_core.errors import LicenceError
        from mammoclip_core.published.fetch import downloads_folder, notice, published_model
        from mammoclip_core.published.fetch import fetch as fetch_model

        published = published_model(model)
        typer.echo(notice(published), err=True)
        if not accept_licence:
            if not sys.stdin.isatty():
                raise LicenceError("nothing was downloaded: accept the licence by --accept-licence")
            if not typer.confirm("Do you accept these terms?", err=True):
                raise LicenceError("nothing was downloaded: the licence was not accepted")
        manifest = fetch_model(
            published,
            out,
            downloads=downloads,
            heads=_named_files(head, "--head"),
            detectors=_named_files(detector, "--detector"),
        )
        typer.echo(f"the downloaded files are kept in {downloads or downloads_folder()}", err=True)
        show_manifest(manifest, as_json=as_json)


def demonstration(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a copy. Must be new or empty. Default: no copy."),
    ] = None,
) -> None:
    """Print the folder of the demonstration bundle (trained on phantoms), or copy it.

    Example: mammoclip-predict demonstration-bundle --out bundles/demonstration
    """
    with one_line_errors():
        from mammoclip_core.bundles.demonstration import (
            copy_demonstration_bundle,
            demonstration_bundle,
        )
        from mammoclip_core.manifest import read_manifest, require_empty

        if out is None:
            out = demonstration_bundle()
        else:
            require_empty(out)
            out.mkdir(parents=True, exist_ok=True)
            copy_demonstration_bundle(out)
        warn(read_manifest(out))
        typer.echo(out)


def _named_files(options: list[str] | None, option: str) -> dict[str, Path]:
    """Read NAME=FILE options."""
    files: dict[str, Path] = {}
    for text in options or ():
        name, separator, file = text.partition("=")
        if not separator or not name or name in files or not Path(file).is_file():
            raise typer.BadParameter(
                f"{text}: expected NAME=FILE, each NAME once, FILE an existing file",
                param_hint=option,
            )
        files[name] = Path(file)
    return files
