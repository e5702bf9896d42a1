"""How large the pixels of an image are, and whether they are square."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from mammoclip_core.images.views import HasAttributes, items_of, value_of

_GREATEST_ASPECT: Final = 10
_SQUARE: Final = 1e-3
"""Spacings that differ by less are the same, written with different digits."""

Spacing = tuple[float, float]
"""Millimetres from row to row and from column to column."""


def stated_spacing_of(source: HasAttributes, frame: int = 1) -> Spacing | None:
    """Return the spacing as the image states it, at the detector where that is known."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        spacing = spacing_in(source, keyword)
        if spacing is not None:
            return spacing
    return spacing_in_frames_of(source, frame) or spacing_in(source, "NominalScannedPixelSpacing")


def spacing_in_frames_of(source: HasAttributes, frame: int) -> Spacing | None:
    """Return the spacing that the functional groups of a frame state (PS3.3 C.7.6.16.2.1)."""
    own = items_of(source, "PerFrameFunctionalGroupsSequence")[frame - 1 : frame]
    for group in [*own, *items_of(source, "SharedFunctionalGroupsSequence")]:
        for item in items_of(group, "PixelMeasuresSequence"):
            spacing = spacing_in(item, "PixelSpacing")
            if spacing is not None:
                return spacing
    return None


def pixel_aspect_of(source: HasAttributes) -> Fraction:
    """Return the height of a pixel for a width of 1; 1 where nothing sensible is stated.

    References
    ----------
    PS3.3 C.7.6.3.1.7: Pixel Aspect Ratio counts only where no spacing is given.
    """
    height, width = (
        stated_spacing_of(source) or spacing_in(source, "PixelAspectRatio") or (1.0, 1.0)
    )
    ratio = Fraction(height / width).limit_denominator(1000)
    is_square = abs(height / width - 1.0) < _SQUARE
    is_plausible = Fraction(1, _GREATEST_ASPECT) <= ratio <= _GREATEST_ASPECT
    return ratio if is_plausible and not is_square else Fraction(1)


def spacing_in(source: HasAttributes, keyword: str) -> Spacing | None:
    """Return the two positive numbers of an attribute, or None where it has others."""
    value: Any = value_of(source, keyword)
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return None
    try:
        return _spacing([float(number) for number in value])
    except (OverflowError, TypeError, ValueError):
        return None


def _spacing(numbers: Sequence[float]) -> Spacing | None:
    if len(numbers) != 2 or not all(math.isfinite(one) and one > 0 for one in numbers):
        return None
    return numbers[0], numbers[1]
