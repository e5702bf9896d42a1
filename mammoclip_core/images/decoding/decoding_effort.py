"""How much memory and time reading one image may take: by its pixels and its compressed size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

BeforeDecoding = Callable[[int, int], object]
"""Called with the pixels of a frame and the bytes that store it, before these are decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a step of reading an image may take.

    Attributes
    ----------
    memory_bytes : of address space, beyond what the process has when the step begins
    processor_seconds : of the process
    seconds : until it is ended whatever it does; more, for a machine that is busy with other work
    """

    memory_bytes: int
    processor_seconds: float
    seconds: float


HEADER_EFFORT: Final = Effort(memory_bytes=2**30, processor_seconds=20, seconds=45)
"""For the header, and for finding the frame; a whole one takes some milliseconds."""


def decoding_effort(pixels: int, encoded_bytes: int) -> Effort:
    """Return what decoding one frame may take: several times what it does.

    Parameters
    ----------
    pixels : Rows x Columns
    encoded_bytes : size of the frame as it is stored
    """
    processor_seconds = 5 + 0.5e-6 * pixels + 0.5e-6 * encoded_bytes
    return Effort(
        memory_bytes=256 * 2**20 + 24 * pixels + 4 * encoded_bytes,
        processor_seconds=processor_seconds,
        seconds=10 + 3 * processor_seconds,
    )


def anything(_pixels: int, _encoded_bytes: int) -> None:
    """Let the frame be decoded, whatever it takes."""
