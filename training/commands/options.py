"""The options that several commands of mammoclip-train share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

BundleOption = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Bundle folder to begin from.")
]
TableOption = Annotated[
    Path,
    typer.Option(exists=True, dir_okay=False, help="VinDr-Mammo's findings, RSNA's, or your own."),
]
ImagesOption = Annotated[
    list[Path],
    typer.Option(exists=True, file_okay=False, help="Folder of the images; may be repeated."),
]
TaskOption = Annotated[
    Literal["mass", "calcification", "density", "cancer"], typer.Option(help="What is asked.")
]
OutOption = Annotated[Path, typer.Option(file_okay=False, help="Folder of all that is written.")]
IntoOption = Annotated[
    Path | None, typer.Option(file_okay=False, help="Also write a bundle with the head in it.")
]
ProtocolOption = Annotated[
    Literal["honest", "published"],
    typer.Option(help="Epoch chosen on patients held out, or on the test part as the authors do."),
]
PercentOption = Annotated[
    int, typer.Option(min=1, max=100, help="Share of the training part to learn from.")
]
PresetOption = Annotated[
    Literal["paper", "readme"], typer.Option(help="Whose epochs and batches: they differ.")
]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="In place of the preset's.")]
LearningRateOption = Annotated[float | None, typer.Option(min=0, help="In place of 5e-5.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of shares, held-out patients and weights.")]
DeviceOption = Annotated[str, typer.Option(help="As torch names it: cpu, cuda.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that read images ahead.")]
