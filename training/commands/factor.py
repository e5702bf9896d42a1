"""The command that trains Mammo-FActOR: factor."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import (
    BundleOption,
    DeviceOption,
    ImagesOption,
    OutOption,
    SeedOption,
)
from training.terminal import one_line_errors, say


@one_line_errors()
def factor(
    *,
    bundle: BundleOption,
    table: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Of VinDr-Mammo's findings.")
    ],
    images: ImagesOption,
    out: OutOption,
    into: Annotated[
        Path | None, typer.Option(file_okay=False, help="Also write a bundle that localises so.")
    ] = None,
    finding: Annotated[
        list[str] | None, typer.Option(help="Of the bundle; may be repeated. Default: two.")
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Image-text table of a finding's words."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Lesions' sizes in mm.")
    ] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Learn on mirrored images too.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Learn on images without both.")] = False,
    loss: Annotated[
        Literal["published", "contrastive"],
        typer.Option(help="A positive image adds 1 to the negatives, or nothing."),
    ] = "published",
    start: Annotated[
        Literal["quiet", "random"], typer.Option(help="Of the networks; published is random.")
    ] = "quiet",
    top_channels: Annotated[
        int, typer.Option(min=1, help="Channels whose maps make a heatmap.")
    ] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 20,
    learning_rate: Annotated[float, typer.Option(min=0)] = 1e-4,
    batch_size: Annotated[int, typer.Option(min=2)] = 8,
    seed: SeedOption = 10,
    device: DeviceOption = "cpu",
    data: Annotated[str, typer.Option(help="What the data is called in the figures.")] = "VinDr",
) -> None:
    """Train Mammo-FActOR, which localises findings without having seen a box, and measure it.

    Writes factor.safetensors, evaluation.md and evaluation.json into the folder.

    Example: mammoclip-train factor --bundle b5 --table finding_annotations.csv --images png
    --out factor --into b5-localising
    """
    from training.data.boxed_images import BOXED_FINDINGS
    from training.factor.factor_training import FACTOR_NAME, FactorOrder, train_factor
    from training.factor.fitting import FactorSettings
    from training.learning.losses import FactorForm

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
        device=device,
        data=data,
    )
    train_factor(order, say)
    typer.echo(out / FACTOR_NAME)
