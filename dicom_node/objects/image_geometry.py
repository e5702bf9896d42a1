"""How high the pixels of an image are for their width, and where its frames lie."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pydicom.dataset import Dataset

from mammoclip_core.images.header_numbers import first_numbers, numbers_of
from mammoclip_core.images.pixel_spacing import spacing_from, stated_spacing_of

_GREATEST_ASPECT: Final = 10
_SQUARE: Final = 1e-3
"""Spacings that differ by less are the same, written with different digits."""

_TOLERANCE: Final = 0.01
"""Direction cosines are rounded; what is further off is no direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Where a frame lies in the patient's frame of reference.

    Attributes
    ----------
    position : (3,) mm
    orientation : (6,) direction cosines
        Along a row, then along a column.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]


def pixel_aspect_of(source: Dataset) -> Fraction:
    """Return the height of a pixel for a width of 1; 1 where nothing sensible is stated.

    References
    ----------
    PS3.3 C.7.6.3.1.7: Pixel Aspect Ratio counts only where no spacing is given.
    """
    height, width = (
        stated_spacing_of(source)
        or spacing_from(numbers_of(source, "PixelAspectRatio"))
        or (1.0, 1.0)
    )
    ratio = Fraction(height / width).limit_denominator(1000)
    is_square = abs(height / width - 1.0) < _SQUARE
    is_plausible = Fraction(1, _GREATEST_ASPECT) <= ratio <= _GREATEST_ASPECT
    return ratio if is_plausible and not is_square else Fraction(1)


def plane_of(source: Dataset, frame: int = 1) -> Plane | None:
    """Return where a frame lies, or None where the image does not state all of it."""
    if not source.get("FrameOfReferenceUID"):
        return None
    position = first_numbers(source, frame, "PlanePositionSequence", "ImagePositionPatient")
    orientation = first_numbers(
        source, frame, "PlaneOrientationSequence", "ImageOrientationPatient"
    )
    if len(position) != 3 or len(orientation) != 6:
        return None
    row, column = orientation[:3], orientation[3:]
    lengths = (math.hypot(*row), math.hypot(*column))
    leaning = sum(one * other for one, other in zip(row, column, strict=True))
    if abs(leaning) > _TOLERANCE or any(abs(length - 1.0) > _TOLERANCE for length in lengths):
        return None
    return Plane(position=position, orientation=orientation)
