"""mammoclip-predict: apply a bundle to image files, without a DICOM network."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from mammoclip_core.commands import bundles, images
from mammoclip_core.commands.help_pages import fill_paragraphs
from mammoclip_core.commands.options import (
    BundleOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    PrecisionOption,
)
from mammoclip_core.commands.terminal import accept_terms, one_line_errors, opened, show_manifest
from mammoclip_core.commands.version import add_version_option
from mammoclip_core.engines.computing_options import ComputingOptions, EngineName, Precision

app = typer.Typer(
    name="mammoclip-predict",
    help="Apply a Mammo-CLIP bundle to mammograms. Research use only: not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


add_version_option(app)


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
        typer.Option(
            envvar="MAMMOCLIP_ACCEPT",
            help="Licence phrase, exactly as `info` prints it; a wrong one is refused."
            " Default: the terms are printed.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Study Instance UID: only this study is analysed; all if not given."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="TOML or JSON file of prompts (pairs, class sets, ensembles) to use instead of"
            " the bundle's.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    engine: EngineOption = EngineName.AUTO,
    precision: PrecisionOption = Precision.EXACT,
    mode: Annotated[
        Literal["published", "clinical"] | None,
        typer.Option(
            help="Pixel preparation: published (no window, no VOI LUT) or clinical (display"
            " settings of the header). Default: the bundle's."
        ),
    ] = None,
    tomosynthesis: Annotated[
        Literal["refuse", "middle", "max"],
        typer.Option(
            help="Frames used from a multi-frame image: refuse (none), middle (one) or max (up to"
            " 16; the highest score of each finding)."
        ),
    ] = "refuse",
    generated_2d: Annotated[
        Literal["if-alone", "prefer", "both"],
        typer.Option(
            help="Use of a 2D image computed from a tomosynthesis: if-alone (where its view has no"
            " full-field image), prefer (instead of that image) or both."
        ),
    ] = "if-alone",
    as_json: JsonOption = False,
    json_out: Annotated[
        Path | None, typer.Option(help="Write the findings document to this file, as --json.")
    ] = None,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            help="Write a heatmap-N.npz for each picture to this folder; into study-N of several."
        ),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            help="Write a PNG of each answer to this folder; into study-N of several studies."
        ),
    ] = None,
) -> None:
    """Analyse the images of each study and show the findings, one table for a study.

    The same images are chosen as by the node: spot views, quality control images and the like are
    left out with their reason. Of a folder only mammograms are taken; name a file itself to have
    an image of another SOP Class analysed. JSON is one document, and a list of them where there
    are several studies.

    Example: mammoclip-predict image study/ --json-out findings.json --heatmaps heatmaps/

    Exit status: 0 if at least one image of each study has an answer, 1 if a study has none or
    something is wrong, 2 for wrong usage.
    """
    with one_line_errors():
        from mammoclip_core.engines.choice import load_engine, require_torch
        from mammoclip_core.images.selection import Generated2D
        from mammoclip_core.images.tomosynthesis import Tomosynthesis

        folder, manifest = opened(bundle)
        accept_terms(manifest, accept)
        options = ComputingOptions(precision=precision)
        if prompts is None:
            loaded = load_engine(folder, engine=engine, device=device, options=options)
        else:
            require_torch("asking other prompts than the bundle's")
            from mammoclip_core.bundles.prompt_file import read_prompt_file
            from mammoclip_core.engines.prompted_engine import load_prompted_engine

            loaded = load_prompted_engine(folder, read_prompt_file(prompts), device, options)
        if mode is not None:
            loaded.prepare_as(mode)
        # What reads images is loaded and used while OpenVINO still compiles the model.
        from mammoclip_core.analysis.study_files import expanded, requests_from
        from mammoclip_core.commands.answers import Answers
        from mammoclip_core.images.decoding.decoding_pool import DecodingPool
        from mammoclip_core.many_studies.lasting_files import whole_file

        found = requests_from(
            expanded(paths), study, Tomosynthesis(tomosynthesis), Generated2D(generated_2d)
        )
        for file in found.passed_over:
            typer.echo(f"mammoclip-predict: passed over {file.path}: {file.reason}", err=True)
        answers = Answers(
            found.requests, manifest.warning, heatmaps=heatmaps, overlay=overlay, as_json=as_json
        )
        with ExitStack() as opened_here:
            written = opened_here.enter_context(whole_file(json_out)) if json_out else None
            decoding = opened_here.enter_context(DecodingPool(doubts=0))
            # Of one image a child process would save nothing.
            if sum(len(one.images) for one in found.requests) > 1:
                loaded.read_by(decoding.read_image)
            answers.give(loaded)
            if written is not None:
                written.write(f"{answers.document()}\n".encode())
        if as_json:
            typer.echo(answers.document())
    if answers.failures:
        raise typer.Exit(1)


@app.command()
def embed(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True, help="DICOM, PNG, JPEG or TIFF files, folders, lists (.txt, one a line)."
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="File to write (.npz): files, features, embeddings; with --shard a folder."
        ),
    ],
    shard: Annotated[
        int,
        typer.Option(
            min=0,
            help="Images of each file shard-N.npz in the folder; those that are whole are not"
            " made again. 0 writes one file.",
        ),
    ] = 0,
    bundle: BundleOption = None,
    device: DeviceOption = "auto",
    engine: Annotated[
        EngineName,
        typer.Option(
            help="Library that computes; auto: torch (the reference) if installed, else OpenVINO."
        ),
    ] = EngineName.AUTO,
    precision: PrecisionOption = Precision.EXACT,
) -> None:
    """Write the pooled features and the embeddings (L2 norm 1) of images.

    Example: mammoclip-predict embed a.dcm b.png --bundle bundles/b5 --out embeddings.npz

    Exit status: 0 if every file has a row, 1 if a file failed (it is named) or on an error.
    """
    with one_line_errors():
        from mammoclip_core.engines.choice import embedding_library
        from mammoclip_core.engines.loading import load_bundle
        from mammoclip_core.images.decoding.decoding_pool import DecodingPool
        from mammoclip_core.images.image_file import read_image
        from mammoclip_core.many_studies.embedding_shards import (
            shard_facts,
            to_embed,
            write_embeddings,
            write_shards,
        )

        folder, manifest = opened(bundle)
        accept_terms(manifest, None)
        options = ComputingOptions(precision=precision)
        library = embedding_library(engine, device, options)
        model, _ = load_bundle(folder, library)
        chosen, passed_over = to_embed(files)
        _say_failures(passed_over)
        with DecodingPool(doubts=0) as decoding:
            read = decoding.read_image if len(chosen) > 1 else read_image
            if shard:
                facts = shard_facts(model.manifest, library.identity)
                failures = write_shards(model, chosen, out, shard, facts=facts, read=read)
            else:
                failures = write_embeddings(model, chosen, out, read)
        _say_failures(failures)
    if passed_over or failures:
        raise typer.Exit(1)


def _say_failures(failures: Mapping[str, str]) -> None:
    for file, reason in failures.items():
        typer.echo(f"mammoclip-predict: {file}: {reason}", err=True)


@app.command()
def text(
    texts: Annotated[list[str], typer.Argument(help="Texts, each in quotes.")],
    *,
    out: Annotated[Path, typer.Option(help="File to write (.npz): texts, embeddings.")],
    bundle: BundleOption = None,
) -> None:
    """Write the embeddings (L2 norm 1) of texts.

    Example: mammoclip-predict text "no mass" "mass" --bundle bundles/b5 --out texts.npz
    """
    with one_line_errors():
        import numpy as np

        from mammoclip_core.engines.embeddings import embed_texts, load_text_model
        from mammoclip_core.many_studies.lasting_files import whole_file

        folder, manifest = opened(bundle)
        accept_terms(manifest, None)
        embeddings = embed_texts(load_text_model(folder), texts)
        target = out if out.suffix == ".npz" else out.with_name(f"{out.name}.npz")
        with whole_file(target) as stream:
            np.savez_compressed(stream, texts=np.array(texts), embeddings=embeddings)


@app.command()
def info(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle folder. Default: the demonstration bundle.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a bundle: model, licence phrase, permitted use, findings and thresholds.

    Example: mammoclip-predict info bundles/b5 --json
    """
    with one_line_errors():
        _, manifest = opened(bundle)
        show_manifest(manifest, as_json=as_json)


app.command("images")(images.images)
app.command()(bundles.convert)
app.command()(bundles.fetch)
app.command("demonstration-bundle")(bundles.demonstration)
fill_paragraphs(app)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
