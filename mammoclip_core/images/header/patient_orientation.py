"""Which way the rows and columns of an image run in the patient."""

import re
from collections.abc import Sequence
from typing import Any, Final

from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.header_numbers import first_numbers
from mammoclip_core.images.header.views import HasAttributes, value_of

_DIRECTIONS: Final = re.compile(r"[APLRHF]{1,3}")
_LEAST_COSINE: Final = 0.1
"""A direction that is shorter along an axis is not named after it (PS3.3 C.7.6.1.1.1)."""


def patient_orientation_of(source: HasAttributes, frame: int = 1) -> tuple[str, str] | None:
    """Return the directions of rows and columns, or None where the source has no sensible ones.

    An enhanced image has them in its frames, as letters or as the plane's direction cosines.
    """
    stated = [source, *frame_groups(source, frame, "PatientOrientationInFrameSequence")]
    for item in stated:
        letters = _letters(value_of(item, "PatientOrientation"))
        if letters is not None:
            return letters
    cosines = first_numbers(source, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    if len(cosines) != 6:
        return None
    row, column = _direction(cosines[:3]), _direction(cosines[3:])
    return (row, column) if row and column else None


def _letters(value: Any) -> tuple[str, str] | None:
    if isinstance(value, str | bytes) or not hasattr(value, "__len__") or len(value) != 2:
        return None
    row, column = (str(direction).strip() for direction in value)
    return (row, column) if _DIRECTIONS.fullmatch(row) and _DIRECTIONS.fullmatch(column) else None


def _direction(cosines: Sequence[float]) -> str:
    """Name a direction by the axes that it goes along, the longest first."""
    named = sorted(zip(cosines, ("LR", "PA", "HF"), strict=True), key=lambda one: -abs(one[0]))
    return "".join(
        axis[0] if cosine > 0 else axis[1] for cosine, axis in named if abs(cosine) > _LEAST_COSINE
    )
