"""How large an image's pixels are, how they lie, and where: in the header or in its frames."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset

from dicom_node.objects.header_values import number_of
from mammoclip_core.images.display_header import frame_groups
from mammoclip_core.images.pixel_spacing import Spacing, spacing_in, spacing_in_frames_of
from mammoclip_core.images.views import HasAttributes, value_of, view_modifiers_of

_DIRECTIONS: Final = re.compile(r"[APLRHF]{1,3}")
_MAGNIFICATION: Final = "magnification"
_GREATEST_MAGNIFICATION: Final = 4.0
_LEAST_COSINE: Final = 0.1
"""A direction that is shorter along an axis is not named after it (PS3.3 C.7.6.1.1.1)."""

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


def spacing_in_patient_of(source: Dataset, frame: int = 1) -> Spacing | None:
    """Return the spacing in the plane of the breast, or None where magnification hides it.

    A spacing at the detector is divided by the magnification that the image states. Where it
    states none, a contact view keeps it, and a magnification view has no spacing at all.

    References
    ----------
    PS3.3 10.7.1.1 to 10.7.1.3 (Pixel Spacing Calibration), C.8.7.14 (Radiographic Magnification).
    """
    in_frames = spacing_in_frames_of(source, frame)
    if in_frames is not None:
        return in_frames
    calibrated = spacing_in(source, "PixelSpacing")
    at_detector = spacing_in(source, "ImagerPixelSpacing")
    # Equal values say that nothing was calibrated: both are at the detector.
    if calibrated is not None and calibrated != at_detector:
        return calibrated
    at_detector = at_detector or spacing_in(source, "NominalScannedPixelSpacing")
    if at_detector is None:
        return None
    factor = _magnification_of(source)
    if factor is not None:
        return at_detector[0] / factor, at_detector[1] / factor
    return None if _MAGNIFICATION in view_modifiers_of(source) else at_detector


def patient_orientation_of(source: Dataset, frame: int = 1) -> tuple[str, str] | None:
    """Return the directions of rows and columns, or None where the source has no sensible ones.

    An enhanced image has them in its frames, as letters or as the plane's direction cosines.
    """
    stated = [source, *frame_groups(source, frame, "PatientOrientationInFrameSequence")]
    for item in stated:
        letters = _letters(value_of(item, "PatientOrientation"))
        if letters is not None:
            return letters
    cosines = _first_numbers(source, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    if len(cosines) != 6:
        return None
    row, column = _direction(cosines[:3]), _direction(cosines[3:])
    return (row, column) if row and column else None


def plane_of(source: Dataset, frame: int = 1) -> Plane | None:
    """Return where a frame lies, or None where the image does not state all of it."""
    if not source.get("FrameOfReferenceUID"):
        return None
    position = _first_numbers(source, frame, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _first_numbers(
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


def _magnification_of(source: Dataset) -> float | None:
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


def _first_numbers(source: Dataset, frame: int, group: str, keyword: str) -> tuple[float, ...]:
    items: list[HasAttributes] = [*frame_groups(source, frame, group), source]
    return next((found for item in items if (found := _numbers_in(item, keyword))), ())


def _numbers_in(item: HasAttributes, keyword: str) -> tuple[float, ...]:
    value: Any = value_of(item, keyword)
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return ()
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def _letters(value: Any) -> tuple[str, str] | None:
    if value is None or isinstance(value, str | bytes) or len(value) != 2:
        return None
    row, column = (str(direction).strip() for direction in value)
    return (row, column) if _DIRECTIONS.fullmatch(row) and _DIRECTIONS.fullmatch(column) else None


def _direction(cosines: Sequence[float]) -> str:
    """Name a direction by the axes that it goes along, the longest first."""
    named = sorted(zip(cosines, ("LR", "PA", "HF"), strict=True), key=lambda one: -abs(one[0]))
    return "".join(
        axis[0] if cosine > 0 else axis[1] for cosine, axis in named if abs(cosine) > _LEAST_COSINE
    )
