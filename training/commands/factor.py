"""The command that trains Mammo-FActOR: factor."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import (
    BundleOption,
    DataNameOption,
    DeviceOption,
    FindingTableOption,
    ImagesOption,
    OutOption,
    SeedOption,
    SkipUnreadableOption,
)
from training.terminal import one_line_errors, say


@one_line_errors()
def factor(
    *,
    bundle: BundleOption,
    table: FindingTableOption,
    images: ImagesOption,
    out: OutOption,
    into: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Also write a bundle that localises with these weights; must be new or empty.",
        ),
    ] = None,
    finding: Annotated[
        list[str] | None,
        typer.Option(
            help="Finding of the bundle to localise; may be repeated. "
            "Default: mass and suspicious_calcification."
        ),
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV of reports (image-text table) whose sentences describe the findings. "
            "Default: sentences written from a lexicon.",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV of lesion sizes in mm, as `phantoms` writes truth.csv: adds figures by size.",
        ),
    ] = None,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Also train on mirrored images; takes four times the disk."),
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Also train on images without any of the findings.")
    ] = False,
    loss: Annotated[
        Literal["published", "contrastive"],
        typer.Option(
            help="Loss: published (a positive image adds 1 to the sum over the negatives) or "
            "contrastive (it adds nothing)."
        ),
    ] = "published",
    start: Annotated[
        Literal["quiet", "random"],
        typer.Option(help="Initial weights: quiet (near zero), or random as published."),
    ] = "quiet",
    top_channels: Annotated[
        int, typer.Option(min=1, help="Number of channels whose maps make a heatmap.")
    ] = 3,
    epochs: Annotated[
        int, typer.Option(min=1, help="Largest number of epochs; training stops early.")
    ] = 20,
    learning_rate: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 1e-4,
    batch_size: Annotated[int, typer.Option(min=2, help="Images in a batch.")] = 8,
    seed: SeedOption = 10,
    skip_unreadable: SkipUnreadableOption = False,
    device: DeviceOption = "cpu",
    data: DataNameOption = "VinDr",
) -> None:
    """Train Mammo-FActOR, which localises findings without training on boxes, and evaluate it.

    The boxes of the table are used for evaluation alone. Writes factor.safetensors, evaluation.md
    and evaluation.json into the folder --out, beside the cached feature maps.

    Example: mammoclip-train factor --bundle b5 --table finding_annotations.csv --images png
    --out factor --into b5-localising
    """
    from training.data.boxed_images import BOXED_FINDINGS
    from training.factor.factor_training import FACTOR_NAME, FactorOrder, train_factor
    from training.factor.fitting import FactorSettings
    from training.learning.losses import FactorForm
    from training.learning.ranks import joined

    ranks = joined(device)
    order = FactorOrder(
        bundle=bundle,
        table=table,
        images=tuple(images),
        out=out,
        findings=tuple(finding) if finding else BOXED_FINDINGS,
        reports=reports,
        truth=truth,
        with_flips=flips,
        top_channels=top_channels,
        into=into,
        settings=FactorSettings(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            with_clean=clean,
            form=FactorForm(loss),
            quiet_start=start == "quiet",
            seed=seed,
        ),
        device=ranks.device,
        ranks=ranks,
        data=data,
        skip_unreadable=skip_unreadable,
    )
    train_factor(order, say)
    if ranks.is_first:
        typer.echo(out / FACTOR_NAME)
