"""Where a phantom's breast, skin and pectoral muscle lie on one view."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(rows, columns) of the coarse grid, chest wall at column 0."""

ROWS: Final = 760
COLUMNS: Final = 456
COARSE: Final = 2
"""Everything smooth is drawn at half the picture's 1520 x 912, which nobody can tell."""

_SKIN_MM: Final = 1.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Anatomy:
    """One view of a breast before its tissue.

    Attributes
    ----------
    spacing_mm : mm a pixel of the coarse grid
    nipple : (column, row)
    top, bottom : rows
        Upper and lower edge of the breast at the chest wall.
    skin_depth : mm
        Distance to the skin, 0 in air.
    thickness : [0, 1]
        How much tissue the ray crosses, as processed pictures show it.
    muscle : [0, 1]
        The pectoral muscle, with a soft edge.
    clearance : mm
        Distance to skin or muscle: where a lesion of that radius may lie.
    """

    spacing_mm: float
    nipple: tuple[float, float]
    top: float
    bottom: float
    skin_depth: Plane
    thickness: Plane
    muscle: Plane
    clearance: Plane

    @property
    def skin(self) -> Plane:
        """Return the skin line, at most 1."""
        line: Plane = np.exp(-(((self.skin_depth - _SKIN_MM * 0.7) / (_SKIN_MM * 0.6)) ** 2))
        return line * (self.skin_depth > 0)


def draw_anatomy(view_position: str, spacing_mm: float, generator: np.random.Generator) -> Anatomy:
    """Draw outline and muscle of a view, ``CC`` or ``MLO``.

    Parameters
    ----------
    spacing_mm : mm a pixel of the coarse grid
    """
    is_oblique = view_position == "MLO"
    outline, nipple, top, bottom = (_oblique if is_oblique else _craniocaudal)(generator)
    outline = _with_nipple(outline, nipple, spacing_mm, generator)
    columns = np.arange(COLUMNS, dtype=np.float32)
    breast = (columns[None, :] < outline[:, None]).astype(np.uint8)
    skin_depth = cv2.distanceTransform(breast, cv2.DIST_L2, 5) * np.float32(spacing_mm)
    muscle = _muscle(generator) if is_oblique else np.zeros((ROWS, COLUMNS), np.float32)
    free = breast * (muscle < 0.1).astype(np.uint8)
    rim = np.float32(generator.uniform(16.0, 26.0))
    depth = 1.0 - np.minimum(skin_depth / rim, 1.0)
    return Anatomy(
        spacing_mm=spacing_mm,
        nipple=nipple,
        top=top,
        bottom=bottom,
        skin_depth=skin_depth,
        thickness=np.power(1.0 - depth * depth, np.float32(0.35)),
        muscle=muscle,
        clearance=cv2.distanceTransform(free, cv2.DIST_L2, 5) * np.float32(spacing_mm),
    )


_Outline = tuple[NDArray[np.float32], tuple[float, float], float, float]


def _craniocaudal(generator: np.random.Generator) -> _Outline:
    centre = ROWS * generator.uniform(0.47, 0.53)
    reach = COLUMNS * generator.uniform(0.95, 0.985)
    above, below = centre * generator.uniform(0.97, 1.03), 0.0
    below = (ROWS - centre) * generator.uniform(0.97, 1.03)
    rows = np.arange(ROWS, dtype=np.float32)
    offset = np.where(rows < centre, (centre - rows) / above, (rows - centre) / below)
    power, root = generator.uniform(1.9, 2.5), generator.uniform(0.42, 0.52)
    outline = reach * np.clip(1.0 - offset**power, 0.0, 1.0) ** root
    return outline.astype(np.float32), (reach, centre), centre - above, centre + below


def _oblique(generator: np.random.Generator) -> _Outline:
    centre = ROWS * generator.uniform(0.54, 0.66)
    reach = COLUMNS * generator.uniform(0.95, 0.985)
    bottom = ROWS * generator.uniform(0.96, 1.01)
    rows = np.arange(ROWS, dtype=np.float32)
    low = np.clip((rows - centre) / (bottom - centre), 0.0, 1.0)
    power, root = generator.uniform(1.9, 2.6), generator.uniform(0.45, 0.6)
    lower = reach * np.clip(1.0 - low**power, 0.0, 1.0) ** root
    high = np.clip((centre - rows) / centre, 0.0, 1.0)
    narrow = generator.uniform(0.30, 0.48)
    fall = np.clip(np.cos(0.5 * np.pi * high), 0.0, 1.0) ** generator.uniform(0.8, 1.2)
    upper = reach * (narrow + (1.0 - narrow) * fall)
    outline = np.where(rows < centre, upper, lower)
    return outline.astype(np.float32), (reach, centre), 0.0, bottom


def _with_nipple(
    outline: NDArray[np.float32],
    nipple: tuple[float, float],
    spacing_mm: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Let the outline wave a little and the nipple stand out."""
    rows = np.arange(ROWS, dtype=np.float32)
    wave = np.zeros(ROWS)
    for cycles in (2, 3, 5):
        phase = generator.uniform(0, 2 * np.pi)
        wave += generator.normal(0, 0.008) * np.sin(2 * np.pi * cycles * rows / ROWS + phase)
    distance = (rows - nipple[1]) * spacing_mm / generator.uniform(3.0, 4.5)
    bump = generator.uniform(1.0, 5.0) / spacing_mm * np.exp(-(distance**2))
    waved: NDArray[np.float32] = np.minimum(outline * (1 + wave) + bump, COLUMNS - 3)
    return waved.astype(np.float32)


def _muscle(generator: np.random.Generator) -> Plane:
    """Return a triangle with a slightly bulging edge in the upper corner."""
    width = COLUMNS * generator.uniform(0.34, 0.52)
    height = ROWS * generator.uniform(0.48, 0.72)
    rows = np.arange(ROWS, dtype=np.float32)
    share = np.clip(1.0 - rows / height, 0.0, 1.0)
    bulge = generator.uniform(-0.15, 0.35)
    edge = width * (share + bulge * share * (1.0 - share))
    columns = np.arange(COLUMNS, dtype=np.float32)
    softness = generator.uniform(1.5, 4.0)
    muscle = 1.0 / (1.0 + np.exp(np.clip((columns[None, :] - edge[:, None]) / softness, -30, 30)))
    muscle *= np.clip((height - rows) / 12.0, 0.0, 1.0)[:, None]
    return np.asarray(muscle, dtype=np.float32)
