"""mammoclip-predict: what a bundle says of images, without any DICOM network."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mammoclip_core.computing import ComputingOptions, Precision
from mammoclip_core.engine_name import EngineName
from mammoclip_core.options import (
    BundleOption,
    BundleOut,
    DetectorOption,
    EngineOption,
    HeadOption,
    JsonOption,
    PrecisionOption,
)

if TYPE_CHECKING:
    from mammoclip_core.manifest import Manifest

app = typer.Typer(
    name="mammoclip-predict",
    help="Apply a Mammo-CLIP bundle to mammograms. Research use only: not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def image(
    paths: Annotated[
        list[Path],
        typer.Argument(help="DICOM, PNG, JPEG or TIFF files, folders, or patterns in quotes."),
    ],
    *,
    bundle: BundleOption = None,
    accept: Annotated[
        str | None,
        typer.Option(envvar="MAMMOCLIP_ACCEPT", help="Words that accept the bundle's terms."),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Study Instance UID, where the files hold several studies.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="TOML or JSON: pairs, class sets, ensembles to ask."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
    engine: EngineOption = EngineName.AUTO,
    precision: PrecisionOption = Precision.EXACT,
    mode: Annotated[
        Literal["published", "clinical"] | None,
        typer.Option(help="How pixels are prepared; as the bundle says if not given."),
    ] = None,
    tomosynthesis: Annotated[
        Literal["refuse", "middle", "max"],
        typer.Option(help="Which frames of an image of several: none, the middle one, or up to 16"),
    ] = "refuse",
    as_json: JsonOption = False,
    json_out: Annotated[
        Path | None, typer.Option(help="Write the findings document to this file.")
    ] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Write a heatmap-N.npz for each picture to this folder.")
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Write a picture of each answer to this folder, as PNG.")
    ] = None,
) -> None:
    """Analyse the images of one study and show the findings of each.

    Example: mammoclip-predict image study/ --json-out findings.json --heatmaps heatmaps/

    Exit status: 0 if at least one image has an answer, 1 if none has or something is wrong,
    2 for wrong usage.
    """
    with _one_line_errors():
        from mammoclip_core.engines import load_engine, require_torch
        from mammoclip_core.findings import to_json
        from mammoclip_core.heatmaps import write_heatmaps
        from mammoclip_core.requests import expanded, request_from
        from mammoclip_core.tables import findings_table, show
        from mammoclip_core.tomosynthesis import Tomosynthesis

        folder, manifest = _opened(bundle)
        request = request_from(expanded(paths), study, Tomosynthesis(tomosynthesis))
        _accept(manifest, accept)
        options = ComputingOptions(precision=precision)
        if prompts is None:
            loaded = load_engine(folder, engine=engine, device=device, options=options)
        else:
            require_torch("asking other prompts than the bundle's")
            from mammoclip_core.asking import engine_asking
            from mammoclip_core.prompt_file import read_prompt_file

            loaded = engine_asking(folder, read_prompt_file(prompts), device, options)
        if mode is not None:
            loaded.prepare_as(mode)
        analysis = loaded.analyze(request)
        document = to_json(analysis.findings)
        if json_out is not None:
            json_out.write_text(document + "\n", encoding="utf-8")
        if heatmaps is not None:
            write_heatmaps(analysis.heatmaps, heatmaps)
        if overlay is not None:
            from mammoclip_core.overlays import write_overlays

            paths_of = {item.sop_instance_uid: item.path for item in request.images}
            write_overlays(paths_of, analysis, manifest.warning, overlay)
        if as_json:
            typer.echo(document)
        else:
            show(findings_table(analysis.findings, manifest.warning))
    if not analysis.findings.analysed:
        typer.echo("no image could be analysed: the findings give each one's reason", err=True)
        raise typer.Exit(1)


@app.command()
def embed(
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="DICOM, PNG, JPEG or TIFF files."),
    ],
    *,
    out: Annotated[Path, typer.Option(help="npz file to write: files, features, embeddings.")],
    bundle: BundleOption = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
    engine: Annotated[
        EngineName,
        typer.Option(help="What computes; auto: torch where it is installed, as the reference."),
    ] = EngineName.AUTO,
    precision: PrecisionOption = Precision.EXACT,
) -> None:
    """Write the pooled features and the unit embeddings of images.

    Example: mammoclip-predict embed a.dcm b.png --bundle bundles/b5 --out embeddings.npz

    Exit status: 0 if every file has a row, 1 if one has none (it is named) or something is wrong.
    """
    with _one_line_errors():
        import numpy as np

        from mammoclip_core.embedding import embed_files
        from mammoclip_core.engines import load_model

        folder, manifest = _opened(bundle)
        _accept(manifest, None)
        options = ComputingOptions(precision=precision)
        model = load_model(folder, engine=engine, device=device, options=options)
        result = embed_files(model, files)
        if result.files:
            np.savez_compressed(
                out,
                files=np.array(result.files),
                features=result.features,
                embeddings=result.embeddings,
            )
    for file, reason in result.failures.items():
        typer.echo(f"mammoclip-predict: {file}: {reason}", err=True)
    if result.failures:
        raise typer.Exit(1)


@app.command()
def text(
    texts: Annotated[list[str], typer.Argument(help="Texts, each in quotes.")],
    *,
    out: Annotated[Path, typer.Option(help="npz file to write: texts, embeddings.")],
    bundle: BundleOption = None,
) -> None:
    """Write the unit embeddings of texts.

    Example: mammoclip-predict text "no mass" "mass" --bundle bundles/b5 --out texts.npz
    """
    with _one_line_errors():
        import numpy as np

        from mammoclip_core.embedding import embed_texts, load_text_model

        folder, manifest = _opened(bundle)
        _accept(manifest, None)
        embeddings = embed_texts(load_text_model(folder), texts)
        np.savez_compressed(out, texts=np.array(texts), embeddings=embeddings)


@app.command()
def info(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle folder; the demonstration bundle if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a bundle says of itself: model, terms of use, findings and thresholds.

    Example: mammoclip-predict info bundles/b5 --json
    """
    with _one_line_errors():
        _, manifest = _opened(bundle)
        _show_manifest(manifest, as_json=as_json)


@app.command()
def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="A published pretraining checkpoint."),
    ],
    *,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Folder with the text encoder's tokenizer (vocab.txt, of Mammo-FM tokenizer.json),"
            " or its name on the hub."
        ),
    ] = None,
    image_only: Annotated[
        bool, typer.Option("--image-only", help="Leave the text side out; no tokenizer is needed.")
    ] = False,
    out: BundleOut,
    head: HeadOption = None,
    detector: DetectorOption = None,
    factor: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Mammo-FActOR weights, safetensors."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Convert published checkpoints into a bundle; nothing in them is executed.

    Example: mammoclip-predict convert b5-model-best-epoch-7.tar --tokenizer bio_clinicalbert/
    --head cancer=cancer.pth --out bundles/b5
    """
    if image_only == (tokenizer is not None):
        raise typer.BadParameter("give either --tokenizer or --image-only")
    with _one_line_errors():
        from mammoclip_core.conversion import convert as convert_checkpoint

        manifest = convert_checkpoint(
            checkpoint,
            tokenizer,
            out,
            heads=_named_files(head, "--head"),
            factor=factor,
            detectors=_named_files(detector, "--detector"),
        )
        typer.echo(_terms(manifest), err=True)
        _show_manifest(manifest, as_json=as_json)


@app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="b5 (the best) or b2 (the light one).")],
    *,
    out: BundleOut,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the terms without being asked.")
    ] = False,
    downloads: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the downloaded files. Default: in the user's cache."),
    ] = None,
    head: HeadOption = None,
    detector: DetectorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download the published weights and their tokenizer from the model hub, and convert them.

    Shows their licence and asks. A download that breaks off is resumed by the next run.

    Example: mammoclip-predict fetch b5 --out bundles/b5
    """
    with _one_line_errors():
        from mammoclip_core.errors import LicenceError
        from mammoclip_core.fetching import downloads_folder, notice, published_model
        from mammoclip_core.fetching import fetch as fetch_model

        published = published_model(model)
        typer.echo(notice(published), err=True)
        if not accept_licence:
            if not sys.stdin.isatty():
                raise LicenceError("nothing is downloaded until you say --accept-licence")
            if not typer.confirm("Do you accept these terms?", err=True):
                raise LicenceError("nothing was downloaded")
        manifest = fetch_model(
            published,
            out,
            downloads=downloads,
            heads=_named_files(head, "--head"),
            detectors=_named_files(detector, "--detector"),
        )
        typer.echo(f"the downloaded files are kept in {downloads or downloads_folder()}", err=True)
        _show_manifest(manifest, as_json=as_json)


@app.command("demonstration-bundle")
def demonstration(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to make; it must not exist or be empty. Default: the cache."),
    ] = None,
) -> None:
    """Make the demonstration bundle (random weights, to try the system with); print its folder.

    Example: mammoclip-predict demonstration-bundle --out bundles/demonstration
    """
    with _one_line_errors():
        from mammoclip_core.demonstration import demonstration_bundle, make_demonstration_bundle
        from mammoclip_core.manifest import read_manifest, require_empty

        if out is None:
            out = demonstration_bundle()
        else:
            require_empty(out)
            out.mkdir(parents=True, exist_ok=True)
            make_demonstration_bundle(out)
        _warn(read_manifest(out))
        typer.echo(out)


def main() -> None:
    """Run the command line."""
    app()


def _opened(bundle: Path | None) -> tuple[Path, "Manifest"]:
    from mammoclip_core.demonstration import demonstration_bundle
    from mammoclip_core.manifest import read_manifest

    folder = demonstration_bundle() if bundle is None else bundle
    return folder, read_manifest(folder)


def _show_manifest(manifest: "Manifest", *, as_json: bool) -> None:
    from mammoclip_core.tables import manifest_table, show

    if as_json:
        typer.echo(json.dumps(asdict(manifest), indent=2, ensure_ascii=False))
    else:
        show(manifest_table(manifest))


def _named_files(options: list[str] | None, option: str) -> dict[str, Path]:
    """Read NAME=FILE options."""
    files: dict[str, Path] = {}
    for text in options or ():
        name, separator, file = text.partition("=")
        if not separator or not name or name in files or not Path(file).is_file():
            raise typer.BadParameter(f"{text}: one NAME=FILE each, of a file", param_hint=option)
        files[name] = Path(file)
    return files


def _accept(manifest: "Manifest", accepted: str | None) -> None:
    """Show the terms of use to whoever runs a command; refuse words that are not the bundle's.

    A node asks for the words in its settings. Here a person has named the bundle by hand.
    """
    from mammoclip_core.manifest import require_acceptance

    require_acceptance(manifest, manifest.acceptance if accepted is None else accepted)
    if accepted is None and manifest.acceptance is not None:
        typer.echo(_terms(manifest), err=True)
    _warn(manifest)


def _terms(manifest: "Manifest") -> str:
    return f"{manifest.name} is under {manifest.licence}: {manifest.permitted_use} only"


def _warn(manifest: "Manifest") -> None:
    if manifest.warning:
        typer.echo(manifest.warning, err=True)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Show what a person can do something about in one line; let bugs through."""
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


if __name__ == "__main__":
    main()
