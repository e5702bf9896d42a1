"""The command that trains the published detector: detect."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import (
    AugmentationOption,
    BundleOption,
    DataNameOption,
    DeviceOption,
    EpochsOption,
    FindingTableOption,
    ImagesOption,
    LearningRateOption,
    OutOption,
    PercentOption,
    PresetOption,
    SeedOption,
    SkipUnreadableOption,
    WorkersOption,
)
from training.terminal import one_line_errors, say


@one_line_errors()
def detect(
    *,
    bundle: BundleOption,
    table: FindingTableOption,
    images: ImagesOption,
    out: OutOption,
    into: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Also write a bundle with the detector; must be new or empty."
        ),
    ] = None,
    finding: Annotated[
        Literal["mass", "suspicious_calcification"], typer.Option(help="Finding to detect.")
    ] = "mass",
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Keep the encoder's weights; train the rest.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Also train on images without the finding.")
    ] = False,
    percent: PercentOption = 100,
    preset: PresetOption = "paper",
    epochs: EpochsOption = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images in a batch. Default: 7.")
    ] = None,
    learning_rate: LearningRateOption = None,
    augmentation: AugmentationOption = "paper",
    seed: SeedOption = 10,
    skip_unreadable: SkipUnreadableOption = False,
    device: DeviceOption = "cpu",
    workers: WorkersOption = 0,
    data: DataNameOption = "VinDr",
) -> None:
    """Train the paper's detector (RetinaNet) on a bundle's encoder, and evaluate it.

    Writes FINDING.pth in the layout of the published detectors, evaluation.md and evaluation.json
    into the folder --out.

    Example: mammoclip-train detect --bundle b5 --table finding_annotations.csv --images png
    --finding mass --out mass-detector --into b5-detecting
    """
    from training.data.augmentation import PRESETS
    from training.detection.detector_training import DetectionOrder, train_detector
    from training.detection.fitting import DetectionSettings
    from training.detection.recipes import detection_recipe
    from training.learning.presets import Preset
    from training.learning.ranks import joined

    recipe = detection_recipe(
        Preset(preset), epochs=epochs, batch_size=batch_size, learning_rate=learning_rate
    )
    ranks = joined(device)
    order = DetectionOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        out=out,
        finding=finding,
        settings=DetectionSettings(
            recipe=recipe,
            is_frozen=frozen,
            with_clean=clean,
            augmentation=PRESETS[augmentation],
            device=ranks.device,
            seed=seed,
            workers=workers,
            ranks=ranks,
        ),
        preset=Preset(preset),
        percent=percent,
        into=into,
        data=data,
        skip_unreadable=skip_unreadable,
    )
    train_detector(order, say)
    if ranks.is_first:
        typer.echo(out / f"{finding}.pth")
