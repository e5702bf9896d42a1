"""Values of words that no codestream describes, where bits that should be unused are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.stored_values import (
    DecodedFrame,
    FrameLayout,
    contradiction,
    stored_bits,
)

_CONTINUOUS: Final = 0.25
"""Mean step between neighbours, as part of the range of all values, above which none is an image's.
Neighbours without connection differ by a third."""

_CLEARLY: Final = 2.0
"""How many times rougher every other way of reading has to be."""


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """One way to read the words.

    Attributes
    ----------
    values : (rows, columns)
    remark : what is said of it where it is chosen
    """

    values: NDArray[Any]
    bits_stored: int
    remark: str


def values_of_words(words: NDArray[Any], layout: FrameLayout) -> DecodedFrame:
    """Read the values of native or run length pixel data.

    The bits above High Bit hold no values and may hold anything (PS3.5 8.1.1), but a header may
    also state fewer bits than the values have, which would then begin again from 0 in the middle
    of the breast. Where these bits differ from pixel to pixel, what makes neighbours continue
    each other is the image. Bits of an overlay plane that the header names are no part of it.

    Parameters
    ----------
    words : (rows, columns) uint8 or uint16
        Bits Allocated of each pixel.

    Raises
    ------
    PixelError
        It cannot be told what the bits above High Bit are.

    References
    ----------
    PS3.5 8.1.1; PS3.3 C.9.2 (embedded overlay planes, retired); PS3.3 C.7.5.1.1.2 (padding).
    """
    words = words.astype(f"u{layout.sample_bytes}", copy=False)
    if int(words.max()) >> layout.high_bit + 1 == 0:
        return DecodedFrame(values=stored_bits(words, layout), bits_stored=layout.bits_stored)
    everywhere = (1 << layout.bits_allocated) - 1
    above = everywhere >> layout.high_bit + 1
    overlays = layout.overlay_bits & above << layout.high_bit + 1
    words = words & words.dtype.type(everywhere - overlays)
    is_padding = _padding(words, layout)
    unused = words >> layout.high_bit + 1
    by_header = stored_bits(words, layout)
    filled = unused == above - (overlays >> layout.high_bit + 1)
    expected = (by_header < 0) & filled if layout.signed else np.zeros_like(filled)
    if (is_padding | expected | (unused == 0)).all():
        values = _with_padding(by_header, words, is_padding)
        return DecodedFrame(values=values, bits_stored=layout.bits_stored)
    counted = unused[~is_padding]
    if counted.min() == counted.max():
        chosen = _Reading(by_header, layout.bits_stored, _passed_over(layout))
    else:
        readings = [_Reading(by_header, layout.bits_stored, _passed_over(layout))]
        readings += _by_pixel_data(words, is_padding, layout)
        chosen = _continuous(readings, unused, is_padding, layout)
    return DecodedFrame(
        values=_with_padding(chosen.values, words, is_padding),
        bits_stored=chosen.bits_stored,
        remark=chosen.remark,
    )


def _padding(words: NDArray[Any], layout: FrameLayout) -> NDArray[np.bool_]:
    """Tell which pixels are padding: their value may be one that Bits Stored do not hold."""
    if layout.padding is None:
        return np.zeros(words.shape, np.bool_)
    low, high = layout.padding
    values = words.view(f"{'i' if layout.signed else 'u'}{layout.sample_bytes}")
    is_padding: NDArray[np.bool_] = (values >= low) & (values <= high)
    return is_padding


def _with_padding(
    values: NDArray[Any], words: NDArray[Any], is_padding: NDArray[np.bool_]
) -> NDArray[Any]:
    return np.where(is_padding, words.view(values.dtype), values) if is_padding.any() else values


def _by_pixel_data(
    words: NDArray[Any], is_padding: NDArray[np.bool_], layout: FrameLayout
) -> list[_Reading]:
    below = layout.high_bit + 1 - layout.bits_stored
    readings = []
    for kind in "ui":
        values = words.view(f"{kind}{layout.sample_bytes}") >> below
        lowest, highest = int(values[~is_padding].min()), int(values[~is_padding].max())
        bits = max(highest, -1 - lowest).bit_length() + (kind == "i")
        remark = contradiction("pixel data", bits, layout, is_signed=kind == "i")
        readings.append(_Reading(values, bits, remark))
    return readings


def _continuous(
    readings: Sequence[_Reading],
    unused: NDArray[Any],
    is_padding: NDArray[np.bool_],
    layout: FrameLayout,
) -> _Reading:
    """Return the one way of reading in which neighbours continue each other."""
    rough = [(_roughness(reading.values, unused, is_padding), reading) for reading in readings]
    rough.sort(key=lambda item: item[0])
    (least, best), *others = rough
    if least < _CONTINUOUS and all(
        other >= _CLEARLY * least or np.array_equal(reading.values, best.values)
        for other, reading in others
    ):
        return best
    raise PixelError(
        f"{layout.sop_instance_uid}: pixels hold more than the {layout.high_bit + 1} bits that the "
        "header says, and it cannot be told whether these are values"
    )


def _roughness(values: NDArray[Any], unused: NDArray[Any], is_padding: NDArray[np.bool_]) -> float:
    """Return the mean step between neighbours whose unused bits differ, as part of the range."""
    steps = []
    for axis in (0, 1):
        first, second = (
            (slice(None), slice(None, -1)) if axis else (slice(None, -1), slice(None)),
            (slice(None), slice(1, None)) if axis else (slice(1, None), slice(None)),
        )
        places = (unused[first] != unused[second]) & ~is_padding[first] & ~is_padding[second]
        steps.append(np.abs(values[first][places].astype(np.int32) - values[second][places]))
    step = np.concatenate(steps)
    counted = values[~is_padding]
    return float(step.mean()) / (int(counted.max()) - int(counted.min())) if step.size else np.inf


def _passed_over(layout: FrameLayout) -> str:
    return (
        f"the pixel data hold something above the {layout.high_bit + 1} bits that the header says: "
        "passed over"
    )
