"""The options that several commands of mammoclip-predict share."""

from pathlib import Path
from typing import Annotated

import typer

from mammoclip_core.engines.computing_options import EngineName, Precision

BundleOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MAMMOCLIP_BUNDLE", help="Bundle folder; the demonstration bundle if not given."
    ),
]
BundleOut = Annotated[
    Path, typer.Option(help="Bundle folder to make; it must not exist or be empty.")
]
HeadOption = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=FILE: a fine-tuned classifier; mass, calcification, cancer or density."
    ),
]
DetectorOption = Annotated[
    list[str] | None,
    typer.Option(help="NAME=FILE: a published detector; mass or calcification."),
]
DeviceOption = Annotated[
    str, typer.Option(help="Where to compute: cpu, cuda, cuda:N; auto: a GPU where there is one.")
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="Numbers of the image encoder: exact is float32; float16 on a GPU only."),
]
EngineOption = Annotated[
    EngineName,
    typer.Option(help="What computes; auto: torch on a GPU, OpenVINO on a CPU where installed."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
