"""How large an image's pixels are: at the detector, and in the plane of the breast."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.header_numbers import number_of, numbers_of
from mammoclip_core.images.header.views import HasAttributes, view_modifiers_of

MAGNIFICATION: Final = "magnification"

_GREATEST_MAGNIFICATION: Final = 4.0
_GREATEST_ASPECT: Final = 10
_SQUARE: Final = 1e-3
"""Spacings that differ by less are the same, written with different digits."""

Spacing = tuple[float, float]
"""Millimetres from row to row and from column to column."""


def stated_spacing_of(source: HasAttributes, frame: int = 1) -> Spacing | None:
    """Return the spacing as the image states it, at the detector where that is known."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        spacing = spacing_from(numbers_of(source, keyword))
        if spacing is not None:
            return spacing
    return _measured_in_frames(source, frame) or spacing_from(
        numbers_of(source, "NominalScannedPixelSpacing")
    )


def spacing_in_patient_of(source: HasAttributes, frame: int = 1) -> Spacing | None:
    """Return the spacing in the plane of the breast, or None where magnification hides it.

    A spacing at the detector is divided by the magnification that the image states. Where it
    states none, a contact view keeps it, and a magnification view has no spacing at all.

    References
    ----------
    PS3.3 10.7.1.1 to 10.7.1.3 (Pixel Spacing Calibration), C.8.7.14 (Radiographic Magnification).
    """
    in_frames = _measured_in_frames(source, frame)
    if in_frames is not None:
        return in_frames
    calibrated = spacing_from(numbers_of(source, "PixelSpacing"))
    at_detector = spacing_from(numbers_of(source, "ImagerPixelSpacing"))
    # Equal values say that nothing was calibrated: both are at the detector.
    if calibrated is not None and calibrated != at_detector:
        return calibrated
    at_detector = at_detector or spacing_from(numbers_of(source, "NominalScannedPixelSpacing"))
    if at_detector is None:
        return None
    factor = _magnification_of(source)
    if factor is not None:
        return at_detector[0] / factor, at_detector[1] / factor
    return None if MAGNIFICATION in view_modifiers_of(source) else at_detector


def pixel_aspect_of(source: HasAttributes) -> Fraction:
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


def _measured_in_frames(source: HasAttributes, frame: int) -> Spacing | None:
    for item in frame_groups(source, frame, "PixelMeasuresSequence"):
        spacing = spacing_from(numbers_of(item, "PixelSpacing"))
        if spacing is not None:
            return spacing
    return None


def _magnification_of(source: HasAttributes) -> float | None:
    to_detector = number_of(source, "DistanceSourceToDetector", 0.0)
    to_patient = number_of(source, "DistanceSourceToPatient", 0.0)
    by_distances = to_detector / to_patient if to_patient > 0 else 0.0
    for factor in (
        number_of(source, "EstimatedRadiographicMagnificationFactor", 0.0),
        by_distances,
    ):
        if 1.0 <= factor <= _GREATEST_MAGNIFICATION:
            return factor
    return None


def spacing_from(numbers: Sequence[float]) -> Spacing | None:
    """Return two numbers as a spacing, or None where they are none."""
    if len(numbers) != 2 or not all(math.isfinite(one) and one > 0 for one in numbers):
        return None
    return numbers[0], numbers[1]
