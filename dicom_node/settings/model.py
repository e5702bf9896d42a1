"""The section [model]: the bundle and how it is run."""

from typing import Annotated, Literal

from pydantic import Field

from dicom_node.settings.section import LocalPath, Section


class ModelSettings(Section):
    """The bundle and how it is run."""

    bundle: LocalPath | None = None
    """Bundle folder. Default: the demonstration bundle."""
    accept: str | None = None
    """Licence phrase of the bundle, for example "CC-BY-NC-SA-4.0 research use"."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto (a GPU if available)."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """auto: torch on a GPU; on a CPU OpenVINO if installed, else torch."""
    threads: Annotated[int, Field(ge=0)] = 0
    """OpenVINO threads in each worker process; 0: all cores."""
    precision: Literal["exact", "bfloat16", "float16"] = "exact"
    """exact (float32), bfloat16, or float16 (GPU only); the last two are faster."""
    compile: bool = False
    """Compile the model at its first study (takes minutes); useful on a GPU."""
    deterministic: bool = False
    """Refuse operations whose results can differ in the last bits between runs."""
    mode: Literal["published", "clinical"] | None = None
    """Whether the header's display settings are ignored or applied. Default: the bundle's."""
    tomosynthesis: Literal["refuse", "middle", "max"] = "refuse"
    """Frames used from a multi-frame image: none, the middle one, or up to 16."""
    generated_2d: Literal["if-alone", "prefer", "both"] = "if-alone"
    """When a 2D image computed from a tomosynthesis is analysed.

    if-alone: where there is no full-field image of its view; prefer: instead of that; or both.
    """
