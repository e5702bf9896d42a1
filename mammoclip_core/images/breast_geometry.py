"""Where nipple and chest wall lie on a view, from the outline of the breast."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.findings import Point
from mammoclip_core.images.breast_outline import BreastOutline, breast_outline
from mammoclip_core.images.header.pixel_spacing import Spacing
from mammoclip_core.images.stored_image import StoredImage

_CUT_MM: Final = 20.0
"""Height of the breast at the image's anterior edge above which more than 1 mm of it is cut off."""

_FROM_CORNER_MM: Final = 15.0
"""A breast that reaches out furthest nearer to the upper or lower edge has its nipple outside."""

_LEAST_DEPTH_MM: Final = 20.0
"""What reaches out less is no breast that could be measured."""

_CLEARLY: Final = 2.0
"""How many times higher the breast must be at the chest wall than at the other side."""

_TIP: Final = 2
"""Columns of the reduced picture over which the foremost point is averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastGeometry:
    """Nipple and chest wall of one breast on one image.

    The nipple is the point of the breast furthest from the chest wall. The chest wall is the
    vertical line where the breast ends there: the edge of the image. The pectoral muscle is not
    looked for.

    Attributes
    ----------
    nipple : source pixels
    chest_wall : source column
    spacing_mm : from row to row and from column to column
    downwards : where the columns of the image run to in the patient, as in Patient Orientation
        Empty where the header does not tell.
    acquired_on : ISO date of the acquisition, empty where the header does not tell
    """

    nipple: Point
    chest_wall: float
    spacing_mm: Spacing
    downwards: str = ""
    acquired_on: str = ""

    @property
    def length_mm(self) -> float:
        """Return the distance of the nipple from the chest wall."""
        return abs(self.chest_wall - self.nipple[0]) * self.spacing_mm[1]

    def depth_mm(self, point: Point) -> float:
        """Return how far behind the nipple a point lies, at right angles to the chest wall."""
        towards = 1.0 if self.chest_wall > self.nipple[0] else -1.0
        return towards * (point[0] - self.nipple[0]) * self.spacing_mm[1]

    def below_mm(self, point: Point) -> float:
        """Return how far a point lies below the level of the nipple in the image."""
        return (point[1] - self.nipple[1]) * self.spacing_mm[0]


def breast_geometry_of(
    image: StoredImage, outline: BreastOutline | None = None
) -> BreastGeometry | None:
    """Find nipple and chest wall.

    Parameters
    ----------
    outline : of this image, where it is known already

    Returns
    -------
    BreastGeometry or None
        None where they are not known for sure: the image is no flat view of a whole breast, its
        spacing is unknown, it is turned, its breast is cut off, or header and pixels contradict
        each other about the side of the chest wall.
    """
    header = image.projection
    if header is None or not header.is_whole_breast or header.spacing_mm is None:
        return None
    known = outline or breast_outline(image)
    breast, scale = known.breast, known.scale
    if not breast.any():
        return None
    row_mm, column_mm = (
        spacing * step for spacing, step in zip(header.spacing_mm, scale, strict=True)
    )
    forwards, downwards = header.orientation or ("", "")
    is_left = _is_chest_wall_left(breast, forwards)
    if is_left is None:
        return None
    shown = breast if is_left else breast[:, ::-1]
    found = _nipple_in(shown, row_mm, column_mm)
    if found is None:
        return None
    wall, (column, row) = found
    if not is_left:
        wall, column = breast.shape[1] - wall, breast.shape[1] - column
    return BreastGeometry(
        nipple=(column * scale[1], row * scale[0]),
        chest_wall=wall * scale[1],
        spacing_mm=header.spacing_mm,
        downwards=downwards,
        acquired_on=header.acquired_on,
    )


def _is_chest_wall_left(breast: NDArray[np.bool_], forwards: str) -> bool | None:
    """Tell the side of the chest wall; None where it is not known, or header and pixels differ."""
    heights = breast.sum(axis=0)
    edge = max(1, breast.shape[1] // 10)
    left, right = float(heights[:edge].mean()), float(heights[-edge:].mean())
    if forwards:
        stated = {"A": True, "P": False}.get(forwards[0])
        return stated if stated is not None and (left > right) == stated else None
    if max(left, right) < _CLEARLY * min(left, right):
        return None
    return left > right


def _nipple_in(
    breast: NDArray[np.bool_], row_mm: float, column_mm: float
) -> tuple[float, Point] | None:
    """Return the column of the chest wall and the foremost point, with the chest wall at the left.

    None if the breast is cut off in front, or reaches out furthest in a corner of the image.
    """
    columns = np.flatnonzero(breast.any(axis=0))
    if np.count_nonzero(breast[:, -1]) * row_mm > _CUT_MM:
        return None
    wall, front = float(columns[0]), float(columns[-1] + 1)
    if (front - wall) * column_mm < _LEAST_DEPTH_MM:
        return None
    foremost = breast[:, max(0, columns[-1] + 1 - _TIP) : columns[-1] + 1]
    row = float(np.flatnonzero(foremost.any(axis=1)).mean()) + 0.5
    if min(row, len(breast) - row) * row_mm < _FROM_CORNER_MM:
        return None
    return wall, (front, row)
