"""Where the frames of an image lie in the patient."""

import math
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from mammoclip_core.images.header.header_numbers import first_numbers

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
