"""The commands that train and calibrate heads: probe, finetune, calibrate."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import (
    BundleOption,
    DeviceOption,
    EpochsOption,
    ImagesOption,
    IntoOption,
    LearningRateOption,
    OutOption,
    PercentOption,
    PresetOption,
    ProtocolOption,
    SeedOption,
    TableOption,
    TaskOption,
    WorkersOption,
)
from training.terminal import one_line_errors, say


@one_line_errors()
def probe(
    *,
    bundle: BundleOption,
    table: TableOption,
    images: ImagesOption,
    task: TaskOption,
    out: OutOption,
    into: IntoOption = None,
    protocol: ProtocolOption = "honest",
    percent: PercentOption = 100,
    preset: PresetOption = "paper",
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    seed: SeedOption = 10,
    device: DeviceOption = "cpu",
) -> None:
    """Train a linear layer on a bundle's features, which are computed once, and judge it.

    Writes head.pth, as published classifiers are laid out, evaluation.md and evaluation.json.

    Example: mammoclip-train probe --bundle b5 --task mass --table finding_annotations.csv
    --images png --out mass-probe --into b5-mass
    """
    from training.downstream.cases import Protocol
    from training.downstream.finetune import Machine
    from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
    from training.downstream.recipes import Training
    from training.learning.presets import Preset

    order = HeadOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        head=task,
        training=Training.PROBE,
        out=out,
        into=into,
        protocol=Protocol(protocol),
        percent=percent,
        preset=Preset(preset),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        machine=Machine(device=device),
        say=say,
    )
    make_head(order)
    typer.echo(out / HEAD_NAME)


@one_line_errors()
def finetune(
    *,
    bundle: BundleOption,
    table: TableOption,
    images: ImagesOption,
    task: TaskOption,
    out: OutOption,
    into: IntoOption = None,
    protocol: ProtocolOption = "honest",
    percent: PercentOption = 100,
    preset: PresetOption = "paper",
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    seed: SeedOption = 10,
    device: DeviceOption = "cpu",
    workers: WorkersOption = 0,
) -> None:
    """Train a bundle's encoder and a linear layer on augmented images, and judge them.

    Writes head.pth, as published classifiers are laid out, evaluation.md and evaluation.json.

    Example: mammoclip-train finetune --bundle b5 --task cancer --table train.csv --images png
    --out cancer --device cuda --workers 8
    """
    from training.downstream.cases import Protocol
    from training.downstream.finetune import Machine
    from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
    from training.downstream.recipes import Training
    from training.learning.presets import Preset

    order = HeadOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        head=task,
        training=Training.FINE_TUNE,
        out=out,
        into=into,
        protocol=Protocol(protocol),
        percent=percent,
        preset=Preset(preset),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        machine=Machine(device=device, workers=workers),
        say=say,
    )
    make_head(order)
    typer.echo(out / HEAD_NAME)


@one_line_errors()
def calibrate(
    bundle: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Bundle folder.")],
    *,
    table: TableOption,
    images: ImagesOption,
    out: Annotated[Path, typer.Option(file_okay=False, help="Bundle folder to make.")],
    sensitivity: Annotated[
        float | None, typer.Option(min=0, max=1, help="The share of positives to report.")
    ] = None,
    specificity: Annotated[
        float | None, typer.Option(min=0, max=1, help="The share of negatives to leave alone.")
    ] = None,
    method: Annotated[
        Literal["platt", "isotonic"], typer.Option(help="isotonic: for a thousand images and more.")
    ] = "platt",
    part: Annotated[
        Literal["held out", "training", "test", "all"],
        typer.Option(help="Whose images: held out are those that heads are not trained on."),
    ] = "held out",
    finding: Annotated[
        list[str] | None,
        typer.Option(help="Of the bundle; may be repeated. Default: all that the table labels."),
    ] = None,
    seed: SeedOption = 10,
    device: DeviceOption = "cpu",
) -> None:
    """Turn a bundle's scores into probabilities and choose its thresholds.

    Wish for a sensitivity or for a specificity; what comes of it is shown with its interval and
    written into the bundle.

    Example: mammoclip-train calibrate b5-mass --table finding_annotations.csv --images png
    --sensitivity 0.9 --out b5-calibrated
    """
    from rich.console import Console

    from training.downstream.bundle_calibration import CalibrationOrder, thresholds_table
    from training.downstream.bundle_calibration import calibrate as run
    from training.downstream.calibration import Method, Wish

    order = CalibrationOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        out=out,
        wish=Wish(sensitivity=sensitivity, specificity=specificity),
        method=Method(method),
        part=part,
        findings=tuple(finding) if finding else None,
        seed=seed,
        device=device,
    )
    thresholds = run(order)
    Console(stderr=True).print(thresholds_table(thresholds))
    typer.echo(out)
