"""mammoclip-train: from data to a bundle that a node deploys."""

from pathlib import Path
from typing import Annotated

import typer

from mammoclip_core.commands.help_pages import fill_paragraphs
from mammoclip_core.commands.version import add_version_option
from training.commands.back_translate import back_translate
from training.commands.captions import captions
from training.commands.compare import compare
from training.commands.detect import detect
from training.commands.evaluate import evaluate
from training.commands.factor import factor
from training.commands.heads import calibrate, finetune, probe
from training.commands.options import MappingOption
from training.commands.pack import pack
from training.phantoms.family import Family
from training.terminal import install_hint, one_line_errors, say
from training.terminal import progress as _progress

app = typer.Typer(
    name="mammoclip-train",
    help="Train and evaluate Mammo-CLIP on your own data. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ProcessesOption = Annotated[
    int, typer.Option(min=1, help="Number of processes that work in parallel.")
]


add_version_option(app)


@app.command()
@one_line_errors()
def phantoms(
    *,
    studies: Annotated[int, typer.Option(min=1, help="Number of four-view studies to make.")],
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed: the same seed gives the same files.")
    ] = 1,
    out: Annotated[Path, typer.Option(file_okay=False, help="Output folder; created if missing.")],
    first: Annotated[
        int, typer.Option(min=0, help="Number of the first study, to extend an earlier run.")
    ] = 0,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also write DICOM files.")] = False,
    rows: Annotated[
        int, typer.Option(min=64, max=1520, help="Height of the pictures in pixels.")
    ] = 1520,
    columns: Annotated[
        int, typer.Option(min=64, max=912, help="Width of the pictures in pixels.")
    ] = 912,
    family: Annotated[
        Family,
        typer.Option(
            help="varied: of many machines, as the demonstration weights know them. plain: easier, "
            "one machine, few benign calcifications. "
            "filament: another texture and other lesions, for testing only."
        ),
    ] = Family.VARIED,
    processes: ProcessesOption = 1,
) -> None:
    """Make synthetic mammograms: pictures, lesion masks, and tables in the published formats.

    Example: mammoclip-train phantoms --studies 500 --seed 1 --out phantoms --processes 2
    """
    from training.phantoms.writing import Order, write_phantoms

    order = Order(
        seed=seed,
        studies=studies,
        first=first,
        out=out,
        rows=rows,
        columns=columns,
        with_dicom=dicom,
        family=family,
    )
    with _progress("phantom studies", studies) as advance:
        write_phantoms(order, processes, advance)
    typer.echo(out)


@app.command()
@one_line_errors()
def prepare(
    source: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder searched for DICOM files.")
    ],
    *,
    out: Annotated[Path, typer.Option(file_okay=False, help="Output folder; created if missing.")],
    table: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV that lists the images: VinDr findings or breasts, RSNA, reports, image-text, "
            "or your own labels; may be repeated. Default: every image of the folder.",
        ),
    ] = None,
    mapping: MappingOption = None,
    rows: Annotated[
        int, typer.Option(min=64, max=8192, help="Height of the pictures in pixels.")
    ] = 1520,
    columns: Annotated[
        int, typer.Option(min=64, max=8192, help="Width of the pictures in pixels.")
    ] = 912,
    folds: Annotated[
        int,
        typer.Option(
            min=0, help="Cross-validation folds added to tables without a split; 0: none."
        ),
    ] = 4,
    processes: ProcessesOption = 1,
) -> None:
    """Convert DICOM mammograms to the pictures the paper trains on, with matching tables.

    A run that was stopped continues where it was. Exit status: 0 all images were prepared, 1 some
    were not: errors.csv lists them with the reason.

    Example: mammoclip-train prepare vindr/images --table vindr/finding_annotations.csv
    --out prepared --processes 8
    """
    from training.data.table_mapping import read_mapping
    from training.preparation.prepare_folder import Order, prepare_folder

    order = Order(
        source=source,
        out=out,
        tables=tuple(table or ()),
        mapping=read_mapping(mapping) if mapping else None,
        rows=rows,
        columns=columns,
        processes=processes,
        folds=folds,
    )
    outcome = prepare_folder(order, _progress)
    for line in outcome.summary(out):
        typer.echo(line, err=True)
    typer.echo(out)
    raise typer.Exit(1 if outcome.failures else 0)


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
@one_line_errors()
def pretrain(context: typer.Context) -> None:
    """Pretrain a Mammo-CLIP on images with reports or labels.

    `mammoclip-train pretrain --help` lists the settings. --config takes a YAML file, or one of the
    shipped settings: b5, b2, tiny. A run that was stopped continues from its last checkpoint.

    Example: mammoclip-train pretrain --config b5 --data.settings.image_text
    '[{table: clip.csv, images: png}]' --model.network.tokenizer Bio_ClinicalBERT
    """
    try:
        from training.pretraining.pretraining_run import pretrain as run
    except ModuleNotFoundError:
        if "--help" not in context.args:
            raise
        typer.echo(context.get_help())
        say(f"mammoclip-train: to list the settings, {install_hint('training')}")
        return
    run(context.args)


for _command in (
    pack,
    back_translate,
    captions,
    probe,
    finetune,
    calibrate,
    factor,
    detect,
    evaluate,
    compare,
):
    app.command()(_command)
fill_paragraphs(app)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
