"""The section [model]: the bundle and how it is run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dicom_node.settings.section import Section


class ModelSettings(Section):
    """Which bundle answers, and that its terms are accepted."""

    bundle: Path | None = None
    """Folder of the bundle; without it the demonstration bundle."""
    accept: str | None = None
    """The bundle's terms in words, for example "CC-BY-NC-SA-4.0 research use"."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """auto: torch on a GPU; on a CPU OpenVINO where it is installed, else torch."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Of OpenVINO in each worker process; 0 takes every core."""
    precision: Literal["exact", "bfloat16", "float16"] = "exact"
    """exact (float32), or half as many bytes for speed; float16 on a GPU only."""
    compile: bool = False
    """Compile the model at its first study, which takes minutes; pays on a GPU."""
    deterministic: bool = False
    """Refuse operations that may give other bits when they are repeated."""
    mode: Literal["published", "clinical"] | None = None
    """How pixels are prepared: headers' windows ignored or respected; without it as the bundle."""
    tomosynthesis: Literal["refuse", "middle", "max"] = "refuse"
    """Images of several frames: left out, or looked at in one frame or in up to 16."""
