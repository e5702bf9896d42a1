"""The options that several commands of mammoclip-train share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

BundleOption = Annotated[
    Path,
    typer.Option(exists=True, file_okay=False, help="Bundle folder whose encoder is trained on."),
]
TableOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="CSV or Parquet of labels: VinDr-Mammo's finding table, RSNA's train.csv, or your own "
        "table.",
    ),
]
MappingOption = Annotated[
    str | None,
    typer.Option(
        help="What the columns and words of --table mean: a TOML or YAML file, or cbis-ddsm, "
        "cmmd, embed, inbreast, omi-db, rsna or vindr. Default: the table is one of the known "
        "formats."
    ),
]
FindingTableOption = Annotated[
    Path,
    typer.Option(
        exists=True, dir_okay=False, help="CSV of boxes: VinDr-Mammo's finding table or its format."
    ),
]
ImagesOption = Annotated[
    list[Path],
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder searched for the table's images, PNG or DICOM; may be repeated.",
    ),
]
TaskOption = Annotated[
    str,
    typer.Option(
        help="Label that the head learns: mass, calcification, density, cancer, or a label that "
        "--mapping names; the table must have it."
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(file_okay=False, help="Folder for weights and figures; created if missing."),
]
IntoOption = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        help="Also write a bundle that answers with the head; must be new or empty.",
    ),
]
ProtocolOption = Annotated[
    Literal["honest", "published"],
    typer.Option(
        help="How the epoch is chosen: honest, on patients held out of training; published, on "
        "the test images, as the authors do, which makes its figures too good."
    ),
]
PercentOption = Annotated[
    int, typer.Option(min=1, max=100, help="Percent of the training data to train on.")
]
PresetOption = Annotated[
    Literal["paper", "readme"],
    typer.Option(
        help="Recipe with its epochs and batch size: paper, or readme of the public repository."
    ),
]
AugmentationOption = Annotated[
    Literal["official", "paper", "none"],
    typer.Option(
        help="How training images are changed: official, as the authors' code does; paper, as the "
        "paper's text says; none."
    ),
]
EpochsOption = Annotated[
    int | None, typer.Option(min=1, help="Number of epochs. Default: the preset's.")
]
LearningRateOption = Annotated[
    float | None, typer.Option(min=0, help="Peak learning rate. Default: 5e-5.")
]
SeedOption = Annotated[
    int, typer.Option(min=0, help="Random seed for splits, sampling and initial weights.")
]
DeviceOption = Annotated[
    str, typer.Option(help="Device to compute on, as PyTorch names it: cpu, cuda, cuda:1.")
]
WorkersOption = Annotated[
    int,
    typer.Option(min=0, help="Processes that read images ahead; 0 reads in the main process."),
]
SkipUnreadableOption = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable",
        help="Leave out images that are missing or damaged; they are counted and named. "
        "Default: refuse to begin.",
    ),
]
DataNameOption = Annotated[
    str,
    typer.Option(help="Name of the data set in the figures; VinDr is compared with the paper's."),
]
