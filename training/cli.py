"""mammoclip-train: from data to a bundle that a node deploys."""

from pathlib import Path
from typing import Annotated

import typer

from training.downstream.cli import calibrate, finetune, probe
from training.evaluation.cli import evaluate
from training.terminal import one_line_errors as _one_line_errors
from training.terminal import progress as _progress

app = typer.Typer(
    name="mammoclip-train",
    help="Train and evaluate Mammo-CLIP on your own data. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ProcessesOption = Annotated[int, typer.Option(min=1, help="How many processes work at once.")]


@app.callback()
def _commands() -> None:
    """Keep the names of the commands, however many there are."""


@app.command()
def phantoms(
    *,
    studies: Annotated[int, typer.Option(min=1, help="How many four-view studies.")],
    seed: Annotated[int, typer.Option(min=0, help="The same number gives the same bytes.")] = 1,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder; made when missing.")],
    first: Annotated[int, typer.Option(min=0, help="Number of the first study.")] = 0,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also write DICOM studies.")] = False,
    rows: Annotated[int, typer.Option(min=64, max=1520, help="Height of the pictures.")] = 1520,
    columns: Annotated[int, typer.Option(min=64, max=912, help="Width of the pictures.")] = 912,
    processes: ProcessesOption = 1,
) -> None:
    """Make phantom mammograms: pictures, truth masks, and tables in the published formats.

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
    )
    with _progress("phantom studies", studies) as advance, _one_line_errors():
        write_phantoms(order, processes, advance)
    typer.echo(out)


@app.command()
def prepare(
    source: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of DICOM files.")
    ],
    *,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder; made when missing.")],
    table: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV: VinDr findings or breasts, RSNA, reports, image-text, or your own labels; "
            "may be given several times. Without one, every image of the folder is prepared.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=64, max=8192, help="Height of the pictures.")] = 1520,
    columns: Annotated[int, typer.Option(min=64, max=8192, help="Width of the pictures.")] = 912,
    folds: Annotated[
        int, typer.Option(min=0, help="Parts of the patients, for tables without any; 0: none.")
    ] = 4,
    processes: ProcessesOption = 1,
) -> None:
    """Make the published pictures of DICOM mammograms, and the tables that go with them.

    A run that was stopped goes on where it was. Exit status: 0 all is prepared, 1 something could
    not be: errors.csv names it.

    Example: mammoclip-train prepare vindr/images --table vindr/finding_annotations.csv
    --out prepared --processes 8
    """
    from training.preparation.run import Order, prepare_folder

    order = Order(
        source=source,
        out=out,
        tables=tuple(table or ()),
        rows=rows,
        columns=columns,
        processes=processes,
        folds=folds,
    )
    with _one_line_errors():
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
def pretrain(context: typer.Context) -> None:
    """Pretrain a Mammo-CLIP on images with reports or labels; `pretrain --help` lists the settings.

    Example: mammoclip-train pretrain --config b5 --data.settings.image_text
    '[{table: clip.csv, images: png}]' --model.network.tokenizer Bio_ClinicalBERT
    """
    from training.pretraining.command import pretrain as run

    with _one_line_errors():
        run(context.args)


@app.command()
def factor(
    *,
    bundle: Annotated[Path, typer.Option(exists=True, file_okay=False, help="To start from.")],
    table: Annotated[Path, typer.Option(help="Finding table in VinDr-Mammo's format.")],
    images: Annotated[list[Path], typer.Option(help="Folder of the images; may be repeated.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of all that is written.")],
    into: Annotated[Path | None, typer.Option(help="Also write a bundle with the weights.")] = None,
    finding: Annotated[
        list[str] | None, typer.Option(help="Of the bundle; may be repeated. Default: two.")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(help="Image-text table to take a finding's sentences from.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Table of lesions' sizes in mm.")] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Learn on mirrored images too.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Learn on images without both.")] = False,
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 20,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 1e-4,
    device: Annotated[str, typer.Option(help="As torch names it.")] = "cpu",
    data: Annotated[str, typer.Option(help="What the data is called in the figures.")] = "VinDr",
) -> None:
    """Train Mammo-FActOR, which localises findings without having seen a box, and measure it.

    Writes factor.safetensors, evaluation.md and evaluation.json into the folder.

    Example: mammoclip-train factor --bundle b5 --table finding_annotations.csv --images png
    --out factor --into b5-localising
    """
    from training.factor.command import FACTOR_NAME, FINDINGS, FactorOrder, train_factor
    from training.factor.fitting import FactorSettings

    settings = FactorSettings(epochs=epochs, learning_rate=learning_rate, with_clean=clean)
    order = FactorOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        out=out,
        findings=tuple(finding) if finding else FINDINGS,
        reports=reports,
        truth=truth,
        with_flips=flips,
        into=into,
        settings=settings,
        device=device,
        data=data,
    )
    with _one_line_errors():
        train_factor(order, lambda words: typer.echo(words, err=True))
    typer.echo(out / FACTOR_NAME)


for _command in (probe, finetune, calibrate, evaluate):
    app.command()(_command)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
