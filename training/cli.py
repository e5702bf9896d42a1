"""mammoclip-train: from data to a bundle that a node deploys."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

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


@app.command()
def detect(
    *,
    bundle: Annotated[Path, typer.Option(exists=True, file_okay=False, help="To start from.")],
    table: Annotated[Path, typer.Option(help="Finding table in VinDr-Mammo's format.")],
    images: Annotated[list[Path], typer.Option(help="Folder of the images; may be repeated.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of all that is written.")],
    finding: Annotated[str, typer.Option(help="mass or suspicious_calcification.")] = "mass",
    frozen: Annotated[bool, typer.Option("--frozen", help="The encoder does not learn.")] = False,
    preset: Annotated[str, typer.Option(help="paper or readme: the authors' recipes.")] = "paper",
    percent: Annotated[int, typer.Option(min=1, max=100, help="Of the training patients.")] = 100,
    clean: Annotated[
        bool, typer.Option("--clean", help="Learn on images without the finding too.")
    ] = False,
    into: Annotated[Path | None, typer.Option(help="Also write a bundle with it.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="In place of its.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, help="In place of its.")] = None,
    device: Annotated[str, typer.Option(help="As torch names it.")] = "cpu",
    data: Annotated[str, typer.Option(help="What the data is called in the figures.")] = "VinDr",
) -> None:
    """Train the published detector on a bundle's encoder, and measure it.

    Writes FINDING.pth, evaluation.md and evaluation.json into the folder.

    Example: mammoclip-train detect --bundle b5 --table finding_annotations.csv --images png
    --finding mass --out mass-detector --into b5-detecting
    """
    from training.detection.command import DetectionOrder, train_detector
    from training.detection.fitting import DetectionSettings
    from training.detection.recipes import detection_recipe, preset_of

    with _one_line_errors():
        name = preset_of(preset)
        recipe = detection_recipe(
            name, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate
        )
        order = DetectionOrder(
            bundle=bundle,
            table=table,
            images=tuple(images),
            out=out,
            finding=finding,
            settings=DetectionSettings(
                recipe=recipe, is_frozen=frozen, with_clean=clean, device=device
            ),
            preset=name,
            percent=percent,
            into=into,
            data=data,
        )
        train_detector(order, lambda words: typer.echo(words, err=True))
    typer.echo(out / f"{finding}.pth")


def main() -> None:
    """Run the command line."""
    app()


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error; yields what moves it on by one."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Show what a person can do something about in one line; let bugs through."""
    from mammoclip_core.errors import CoreError

    try:
        yield
    except CoreError as error:
        typer.echo(f"mammoclip-train: {error}", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        typer.echo(f"mammoclip-train: {error.filename}: {reason}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    main()
