"""The options that several commands of mammoclip-predict share."""

from pathlib import Path
from typing import Annotated

import typer

from mammoclip_core.engines.computing_options import EngineName, Precision

BundleOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MAMMOCLIP_BUNDLE", help="Bundle folder. Default: the demonstration bundle."
    ),
]
BundleOut = Annotated[Path, typer.Option(help="Bundle folder to write. Must be new or empty.")]
HeadOption = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=FILE: fine-tuned classifier; NAME is mass, calcification, cancer or density."
        " Repeatable."
    ),
]
DetectorOption = Annotated[
    list[str] | None,
    typer.Option(help="NAME=FILE: published detector; NAME is mass or calcification. Repeatable."),
]
DeviceOption = Annotated[
    str, typer.Option(help="Device: cpu, cuda, cuda:N, or auto (a GPU if there is one).")
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="Number format of the image encoder: exact (float32), bfloat16, float16 (GPU only)."
    ),
]
EngineOption = Annotated[
    EngineName,
    typer.Option(
        help="Library that computes; auto: torch on a GPU, OpenVINO on a CPU if installed."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
