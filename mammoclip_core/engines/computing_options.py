"""How a bundle may be computed: by which library, in which numbers, compiled, repeatable."""

from dataclasses import dataclass
from enum import StrEnum


class EngineName(StrEnum):
    """Which library computes."""

    AUTO = "auto"
    """torch on a GPU; on a CPU OpenVINO where it is installed, else torch."""
    TORCH = "torch"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """In which numbers the image encoders compute; projections and scores are always float32."""

    EXACT = "exact"
    """float32, as the published numbers were computed."""
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @property
    def numbers(self) -> str:
        """Return the numbers' own name."""
        return "float32" if self is Precision.EXACT else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputingOptions:
    """What a site chooses beside the device.

    Attributes
    ----------
    is_compiled : bool
        Compile the image encoders for their input's size; on a GPU with CUDA graphs. It takes
        minutes at the first image.
    is_deterministic : bool
        Refuse whatever may give other bits for the same images in the same batches.
    threads : 0 or more
        Of the CPU, for the whole process; 0 takes every core that it may use.
    """

    precision: Precision = Precision.EXACT
    is_compiled: bool = False
    is_deterministic: bool = False
    threads: int = 0
