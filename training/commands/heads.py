"""The commands that train and calibrate heads: probe, finetune, calibrate."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import (
    AugmentationOption,
    BundleOption,
    DeviceOption,
    EpochsOption,
    ImagesOption,
    IntoOption,
    LearningRateOption,
    MappingOption,
    OutOption,
    PercentOption,
    PresetOption,
    ProtocolOption,
    SeedOption,
    SkipUnreadableOption,
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
    mapping: MappingOption = None,
    protocol: ProtocolOption = "honest",
    percent: PercentOption = 100,
    preset: PresetOption = "paper",
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    seed: SeedOption = 10,
    skip_unreadable: SkipUnreadableOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train a linear layer on a bundle's image features (linear probe), and evaluate it.

    Features are computed once and kept in --out. Writes head.pth in the layout of the published
    classifiers, evaluation.md and evaluation.json.

    Example: mammoclip-train probe --bundle b5 --task mass --table finding_annotations.csv
    --images png --out mass-probe --into b5-mass
    """
    from training.data.table_mapping import read_mapping
    from training.downstream.cases import Protocol
    from training.downstream.finetune import Machine
    from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
    from training.downstream.recipes import Training
    from training.learning.presets import Preset
    from training.learning.ranks import joined

    ranks = joined(device)
    order = HeadOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        head=task,
        training=Training.PROBE,
        out=out,
        into=into,
        mapping=read_mapping(mapping) if mapping else None,
        protocol=Protocol(protocol),
        percent=percent,
        preset=Preset(preset),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        machine=Machine(device=ranks.device, ranks=ranks),
        skip_unreadable=skip_unreadable,
        say=say,
    )
    make_head(order)
    if ranks.is_first:
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
    mapping: MappingOption = None,
    protocol: ProtocolOption = "honest",
    percent: PercentOption = 100,
    preset: PresetOption = "paper",
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    seed: SeedOption = 10,
    augmentation: AugmentationOption = "paper",
    skip_unreadable: SkipUnreadableOption = False,
    device: DeviceOption = "cpu",
    workers: WorkersOption = 0,
) -> None:
    """Train a bundle's encoder and a linear layer on augmented images (fine-tune), and evaluate.

    Writes head.pth in the layout of the published classifiers, evaluation.md and evaluation.json
    into the folder --out.

    Example: mammoclip-train finetune --bundle b5 --task cancer --table train.csv --images png
    --out cancer --device cuda --workers 8
    """
    from training.data.table_mapping import read_mapping
    from training.downstream.cases import Protocol
    from training.downstream.finetune import Machine
    from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
    from training.downstream.recipes import Training
    from training.learning.presets import Preset
    from training.learning.ranks import joined

    ranks = joined(device)
    order = HeadOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        head=task,
        training=Training.FINE_TUNE,
        out=out,
        into=into,
        mapping=read_mapping(mapping) if mapping else None,
        protocol=Protocol(protocol),
        percent=percent,
        preset=Preset(preset),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        augmentation=augmentation,
        machine=Machine(device=ranks.device, workers=workers, ranks=ranks),
        skip_unreadable=skip_unreadable,
        say=say,
    )
    make_head(order)
    if ranks.is_first:
        typer.echo(out / HEAD_NAME)


@one_line_errors()
def calibrate(
    bundle: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Bundle folder to calibrate.")
    ],
    *,
    table: TableOption,
    images: ImagesOption,
    out: Annotated[
        Path,
        typer.Option(
            file_okay=False,
            help="Folder for the new bundle, or for what --head says; must be new or empty.",
        ),
    ],
    sensitivity: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Target sensitivity, above 0 and at most 1."),
    ] = None,
    specificity: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Target specificity, above 0 and at most 1."),
    ] = None,
    method: Annotated[
        Literal["platt", "isotonic"],
        typer.Option(
            help="Calibration: platt (logistic curve, for few images) or isotonic (any rising "
            "curve, from about 1000 images)."
        ),
    ] = "platt",
    head: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="head.pth of any label, trained on BUNDLE by probe or finetune: it is calibrated "
            "in place of the bundle. --finding names its label.",
        ),
    ] = None,
    domain: Annotated[
        Literal["mammograms", "phantoms"] | None,
        typer.Option(
            help="What the images are. A node calls scores calibrated only after a calibration "
            "on mammograms. Default: not stated, and a score stays a score."
        ),
    ] = None,
    part: Annotated[
        Literal["held out", "training", "test", "all"],
        typer.Option(help='Image subset; "held out": excluded from training of heads.'),
    ] = "held out",
    finding: Annotated[
        list[str] | None,
        typer.Option(
            help="Finding of the bundle, or label of --head, to calibrate; may be repeated. "
            "Default: all of the bundle's that the table has labels of."
        ),
    ] = None,
    mapping: MappingOption = None,
    seed: SeedOption = 10,
    skip_unreadable: SkipUnreadableOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Calibrate a bundle's scores to probabilities and choose its thresholds.

    Set a target sensitivity or specificity (0 to 1); the result is shown with its 95 % interval
    and written into the new bundle. With --head, writes calibration.json and answers.csv, of a head
    of several classes by temperature and without threshold.

    Example: mammoclip-train calibrate b5-mass --table finding_annotations.csv --images png
    --sensitivity 0.9 --domain mammograms --out b5-calibrated
    """
    from rich.console import Console

    from training.data.table_mapping import read_mapping
    from training.downstream.bundle_calibration import CalibrationOrder, thresholds_table
    from training.downstream.bundle_calibration import calibrate as run
    from training.downstream.calibration import Method, OperatingTarget
    from training.downstream.head_calibration import calibrate_head

    has_target = head is None or sensitivity is not None or specificity is not None
    order = CalibrationOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        out=out,
        target=OperatingTarget(sensitivity=sensitivity, specificity=specificity)
        if has_target
        else None,
        method=Method(method),
        domain=domain or "",
        part=part,
        findings=tuple(finding) if finding else None,
        seed=seed,
        skip_unreadable=skip_unreadable,
        device=device,
        mapping=read_mapping(mapping) if mapping else None,
    )
    thresholds = run(order, say=say) if head is None else calibrate_head(order, head, say=say)
    if thresholds:
        Console(stderr=True, markup=False, emoji=False).print(thresholds_table(thresholds))
    typer.echo(out)
