"""Tissue of the filament family: lobes, oriented threads and noise interpolated from grids.

Nothing of it is shared with `tissue`, which draws power-law textures: what a model learned of those
does not help it here.
"""

from typing import Final

import cv2
import numpy as np

from training.phantoms.anatomy import COLUMNS, ROWS, Anatomy, Plane

_GLAND: Final = 640.0
_THREADS: Final = 260.0
_GRIDS: Final = ((9, 60.0), (19, 55.0), (45, 45.0), (110, 35.0), (240, 22.0))
"""Rows of each grid of noise, and the standard deviation, in stored values, that it adds."""

_LAYERS: Final = ((0.7, 260, 0.5), (1.2, 160, 0.8), (2.2, 80, 1.0))
"""Blur in pixels, number and brightness of the threads of each layer."""


def draw_filament_tissue(
    anatomy: Anatomy, gland_share: float, generator: np.random.Generator
) -> tuple[Plane, Plane]:
    """Draw what tissue adds to fat, in stored values, and where gland is, in [0, 1]."""
    gland = _lobes(anatomy, gland_share, generator)
    values = gland * np.float32(_GLAND) + np.float32(_THREADS) * (0.25 + gland) * _threads(
        anatomy, generator
    )
    for rows, deviation in _GRIDS:
        values += np.float32(deviation) * (0.6 + gland) * _grid_noise(rows, generator)
    return np.asarray(values, dtype=np.float32), gland


def _lobes(anatomy: Anatomy, share: float, generator: np.random.Generator) -> Plane:
    """Return where gland is: ellipses between nipple and chest wall, of the given area."""
    rows = np.arange(ROWS, dtype=np.float32)[:, None]
    columns = np.arange(COLUMNS, dtype=np.float32)[None, :]
    nipple_column, nipple_row = anatomy.nipple
    height = np.zeros((ROWS, COLUMNS), np.float32)
    for _ in range(int(generator.integers(14, 26))):
        depth = generator.uniform(0.1, 0.95)
        column = nipple_column * (1.0 - depth)
        row = nipple_row + generator.normal(0.0, 0.12 + 0.16 * depth) * ROWS
        turn = np.arctan2(nipple_row - row, nipple_column - column)
        across, down = columns - column, rows - row
        along = np.cos(turn) * across + np.sin(turn) * down
        aside = np.cos(turn) * down - np.sin(turn) * across
        length, width = generator.uniform(40.0, 110.0), generator.uniform(18.0, 55.0)
        distance = (along / length) ** 2 + (aside / width) ** 2
        height = np.maximum(height, generator.uniform(0.7, 1.0) / (1.0 + distance))
    breast = anatomy.clearance > 0
    height = height + np.float32(0.04) * _grid_noise(60, generator)
    threshold = float(np.quantile(height[breast], 1.0 - share)) if breast.any() else 1.0
    lobes = cv2.GaussianBlur(
        ((height > threshold) & breast).astype(np.float32), (0, 0), float(generator.uniform(3, 9))
    )
    return np.asarray(lobes * breast, dtype=np.float32)


def _threads(anatomy: Anatomy, generator: np.random.Generator) -> Plane:
    """Return threads that run more or less towards the nipple, their mean taken away."""
    drawn = np.zeros((ROWS, COLUMNS), np.float32)
    nipple_column, nipple_row = anatomy.nipple
    for sigma, count, brightness in _LAYERS:
        layer = np.zeros((ROWS, COLUMNS), np.uint8)
        for _ in range(count):
            point = np.array([generator.uniform(0, COLUMNS), generator.uniform(0, ROWS)])
            heading = np.arctan2(nipple_row - point[1], nipple_column - point[0])
            heading += generator.normal(0.0, 0.5)
            steps = int(generator.integers(4, 14))
            turns = heading + np.cumsum(generator.normal(0.0, 0.18, steps))
            path = point + np.cumsum(9.0 * np.stack([np.cos(turns), np.sin(turns)], 1), axis=0)
            cv2.polylines(
                layer,
                [np.round(path * 8).astype(np.int32)],
                False,
                int(generator.integers(80, 256)),
                1,
                cv2.LINE_AA,
                3,
            )
        smooth = cv2.GaussianBlur(layer, (0, 0), sigma).astype(np.float32) / np.float32(255)
        drawn += np.float32(brightness) * smooth
    return drawn - np.float32(drawn.mean())


def _grid_noise(rows: int, generator: np.random.Generator) -> Plane:
    """Return smooth noise of standard deviation 1: a coarse grid of numbers, interpolated."""
    columns = max(2, round(rows * COLUMNS / ROWS))
    grid = generator.standard_normal((rows, columns), dtype=np.float32)
    plane = cv2.resize(grid, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    return np.asarray(plane / np.float32(max(float(plane.std()), 1e-6)), dtype=np.float32)
