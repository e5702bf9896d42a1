"""Values of words that no codestream describes, where bits that should be unused are not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.sign_bit import (
    CLEARLY,
    CONTINUOUS,
    other_sign_continues,
)
from mammoclip_core.images.decoding.stored_values import (
    DecodedFrame,
    FrameLayout,
    contradiction,
    misplaced,
    stored_bits,
)

_COMPARED_PIXELS: Final = 1 << 21

_FEW: Final = 0.001
"""Part of the pixels that changes no picture, however it is read."""

_PART_OF_AN_IMAGE: Final = 0.01
"""Part of the pixels that a marker or an annotation may have: as bright as can be beside black."""


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
    Nor has the highest bit to be what the header says, a sign or none: that is told likewise.

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
    if lie_at_low_end(words, layout):
        decoded = values_of_words(words, replace(layout, high_bit=layout.bits_stored - 1))
        remark = misplaced("pixel data", layout.bits_stored, layout)
        return replace(decoded, remark=decoded.remark or remark)
    is_within = not layout.signed and int(words.max()) >> layout.high_bit + 1 == 0
    if is_within and not _lacks_sign(words, layout):
        return DecodedFrame(values=stored_bits(words, layout), bits_stored=layout.bits_stored)
    everywhere = (1 << layout.bits_allocated) - 1
    above = everywhere >> layout.high_bit + 1
    overlays = layout.overlay_bits & above << layout.high_bit + 1
    words = words & words.dtype.type(everywhere - overlays)
    is_padding = padding_pixels(words, layout)
    unused = words >> layout.high_bit + 1
    by_header = stored_bits(words, layout)
    filled = unused == above - (overlays >> layout.high_bit + 1)
    expected = (by_header < 0) & filled if layout.signed else np.zeros_like(filled)
    if (is_padding | expected | (unused == 0)).all():
        chosen = _Reading(by_header, layout.bits_stored, "")
        is_repeated = above > 0 and bool((expected & ~is_padding).any())
        is_to_tell = layout.signed and not is_repeated
        if is_within or (is_to_tell and _has_other_sign(words, is_padding, layout)):
            chosen = _by_pixel_data(words, is_padding, layout)[not layout.signed]
    elif (counted := unused[~is_padding]).min() == counted.max():
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


def padding_pixels(words: NDArray[Any], layout: FrameLayout) -> NDArray[np.bool_]:
    """Tell which pixels are padding: their value may be one that Bits Stored do not hold.

    Parameters
    ----------
    words : (rows, columns) uint8 or uint16
        Bits Allocated of each pixel.
    """
    if layout.padding is None:
        return np.zeros(words.shape, np.bool_)
    low, high = layout.padding
    values = words.view(f"{'i' if layout.signed else 'u'}{layout.sample_bytes}")
    is_padding: NDArray[np.bool_] = (values >= low) & (values <= high)
    return is_padding


def lie_at_low_end(values: NDArray[Any], layout: FrameLayout) -> bool:
    """Tell whether values use the bits below those of the header, and none above their number.

    A mammogram's values lie at the low end: High Bit is one less than Bits Stored. The bits of an
    overlay plane and padding do not count.

    Parameters
    ----------
    values : (rows, columns) of any integer type
        Bits Allocated of each pixel, or less.

    References
    ----------
    PS3.3 C.8.11.3 (High Bit).
    """
    below = (1 << layout.high_bit + 1 - layout.bits_stored) - 1 & ~layout.overlay_bits
    if not below:
        return False
    words = values.astype(f"u{layout.sample_bytes}", copy=False)
    counted = words[~padding_pixels(words, layout)]
    if not (counted & words.dtype.type(below)).any():
        return False
    low_end = replace(layout, high_bit=layout.bits_stored - 1)
    is_extended = np.array_equal(stored_bits(counted, low_end).view(words.dtype), counted)
    return is_extended or int(counted.max()) >> layout.bits_stored == 0


def _lacks_sign(words: NDArray[Any], layout: FrameLayout) -> bool:
    """Tell whether words that the header says to be full of bits without sign are negative."""
    half = 1 << layout.bits_allocated - 1
    if layout.bits_stored < layout.bits_allocated or int(words.max()) < half:
        return False
    few = _PART_OF_AN_IMAGE * words.size
    is_image = few <= int(np.count_nonzero(words >= half)) <= words.size - few
    return is_image and _has_other_sign(words, padding_pixels(words, layout), layout)


def _has_other_sign(
    words: NDArray[Any], is_padding: NDArray[np.bool_], layout: FrameLayout
) -> bool:
    below = layout.high_bit + 1 - layout.bits_stored
    patterns = words >> below if below else words
    return other_sign_continues(patterns, layout.bits_stored, is_padding, signed=layout.signed)


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
    """Return the one way of reading in which neighbours continue each other.

    The first, by the header, where so few pixels are in question that it does not matter.
    """
    rough = [(_roughness(reading.values, unused, is_padding), reading) for reading in readings]
    rough.sort(key=lambda item: item[0])
    (least, best), *others = rough
    if least < CONTINUOUS and all(
        other >= CLEARLY * least or np.array_equal(reading.values, best.values)
        for other, reading in others
    ):
        return best
    counts = np.bincount(unused[~is_padding].ravel())
    if counts.sum() - counts.max() <= _FEW * counts.sum():
        return readings[0]
    raise PixelError(
        f"{layout.sop_instance_uid}: pixels hold more than the {layout.high_bit + 1} bits that the "
        "header says, and it cannot be told whether these are values"
    )


def _roughness(values: NDArray[Any], unused: NDArray[Any], is_padding: NDArray[np.bool_]) -> float:
    """Return the mean step between neighbours whose unused bits differ, as part of the range."""
    counted = values[~is_padding]
    extent = int(counted.max()) - int(counted.min())
    # Of a large image some of its lines tell as much as all, in a bounded memory.
    every = -(-values.size // _COMPARED_PIXELS)
    steps = []
    for is_turned in (False, True):
        value, above, padding = (
            (one.T if is_turned else one)[::every] for one in (values, unused, is_padding)
        )
        differ = above[:, 1:] != above[:, :-1]
        places = np.nonzero(differ & ~padding[:, 1:] & ~padding[:, :-1])
        before = value[:, :-1][places].astype(np.int32)
        steps.append(np.abs(before - value[:, 1:][places]))
    step = np.concatenate(steps)
    return float(step.mean()) / extent if step.size and extent else np.inf


def _passed_over(layout: FrameLayout) -> str:
    return (
        f"the pixel data hold something above the {layout.high_bit + 1} bits that the header says: "
        "passed over"
    )
