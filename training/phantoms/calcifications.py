"""Calcifications by morphology and distribution, and the single benign ones of every breast."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.patch import Patch, empty_window
from training.phantoms.patient import SPECKS

_FINE: Final = 4
"""Specks are drawn that many times finer than the picture and averaged."""

Look = tuple[float, float, float, float, float, float]

LOOKS: Final[Mapping[str, Look]] = {
    "amorphous": (0.3, 0.6, 1.0, 1.5, 260.0, 480.0),
    "coarse heterogeneous": (0.5, 1.0, 1.0, 1.8, 500.0, 950.0),
    "fine pleomorphic": (0.3, 0.7, 1.0, 2.2, 400.0, 950.0),
    "fine linear": (0.5, 1.0, 2.2, 3.5, 450.0, 900.0),
    "fine linear branching": (0.6, 1.0, 2.2, 3.5, 450.0, 900.0),
}
"""Shortest and longest length in mm, least and greatest ratio of length to width, least and
greatest brightness in stored values."""

_BENIGN: Final = (0.4, 1.0, 1.0, 1.3, 400.0, 1050.0)
_BENIGN_A_VIEW: Final = 2.3


def draw_cluster(
    morphology: str,
    distribution: str,
    *,
    size_mm: float,
    spacing_mm: float,
    column: float,
    row: float,
    seed: int,
    clearance: NDArray[np.float32],
    heading: float,
    generator: np.random.Generator,
    looks: Mapping[str, Look] = LOOKS,
    specks: tuple[int, int] = SPECKS,
) -> Patch:
    """Draw the calcifications of one cluster around a point of the full grid.

    Parameters
    ----------
    morphology, distribution : words of the lexicon
    clearance : (rows, columns) of the coarse grid, mm
        Specks keep out of skin, muscle and air.
    heading : radians
        Direction to the nipple, along which ducts run.
    generator : of the view
        Lays the specks; number and kind follow the seed and are the same on both views.
    looks : of each morphology
    specks : least and greatest number

    Returns
    -------
    Patch
        The mask is the specks' convex hull, 1 mm wider.
    """
    count = int(np.random.default_rng(seed).integers(specks[0], specks[1] + 1))
    offsets = _offsets(distribution, count, size_mm / spacing_mm, heading, generator)
    centre = np.array([column, row])
    points = centre + offsets
    for _ in range(6):
        outside = _values_at(clearance, points) < 2.0
        points[outside] = centre + 0.5 * (points[outside] - centre)
    reach = float(np.abs(points - centre).max()) + 3.0 / spacing_mm
    left, top, across, down = empty_window(column, row, reach)
    signal = np.zeros((down.shape[0], across.shape[1]), np.float32)
    for point in points - (left, top):
        _add_speck(
            signal,
            point,
            look=looks[morphology],
            spacing_mm=spacing_mm,
            heading=heading,
            generator=generator,
        )
        if morphology.endswith("branching"):
            branch = point + generator.normal(0.0, 0.25 / spacing_mm, 2)
            _add_speck(
                signal,
                branch,
                look=looks["fine linear"],
                spacing_mm=spacing_mm,
                heading=heading + 0.9,
                generator=generator,
            )
    return Patch(
        left=left,
        top=top,
        signal=signal,
        mask=_hull(points - (left, top), signal.shape, spacing_mm),
    )


def draw_benign(
    clearance: NDArray[np.float32], spacing_mm: float, generator: np.random.Generator
) -> list[Patch]:
    """Draw single round calcifications far from each other: what is not suspicious."""
    rows, columns = np.nonzero(clearance > 3.0)
    patches = []
    for _ in range(int(generator.poisson(_BENIGN_A_VIEW)) if len(rows) else 0):
        place = int(generator.integers(len(rows)))
        column, row = 2.0 * columns[place], 2.0 * rows[place]
        left, top, across, down = empty_window(column, row, 2.0 / spacing_mm)
        signal = np.zeros((down.shape[0], across.shape[1]), np.float32)
        point = np.array([column - left, row - top])
        _add_speck(
            signal, point, look=_BENIGN, spacing_mm=spacing_mm, heading=0.0, generator=generator
        )
        patches.append(
            Patch(left=left, top=top, signal=signal, mask=np.zeros(signal.shape, np.bool_))
        )
    return patches


def _offsets(
    distribution: str, count: int, size: float, heading: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return (count, 2) offsets of the specks from the cluster's centre, in pixels."""
    along = np.array([np.cos(heading), np.sin(heading)])
    aside = np.array([-along[1], along[0]])
    if distribution == "linear":
        share = generator.uniform(-0.5, 0.5, count)
        spread = generator.normal(0.0, 0.035, count)
        return np.asarray(size * (share[:, None] * along + spread[:, None] * aside))
    if distribution == "segmental":
        # A wedge that opens away from the nipple.
        share = np.sqrt(generator.uniform(0.0, 1.0, count))
        spread = generator.uniform(-0.28, 0.28, count) * share
        return np.asarray(size * ((0.5 - share)[:, None] * along + spread[:, None] * aside))
    turn = generator.uniform(0, 2 * np.pi, count)
    distance = size / 2 * np.sqrt(generator.uniform(0.0, 1.0, count))
    return np.stack([distance * np.cos(turn), distance * np.sin(turn)], axis=1)


def _values_at(plane: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Read a plane of the coarse grid at points of the full grid; 0 outside."""
    columns, rows = (np.floor(points).astype(np.int64) // 2).T
    inside = (columns >= 0) & (rows >= 0) & (rows < plane.shape[0]) & (columns < plane.shape[1])
    values = np.zeros(len(points), np.float32)
    values[inside] = plane[rows[inside], columns[inside]]
    return values


def _add_speck(
    signal: NDArray[np.float32],
    point: NDArray[np.float64],
    *,
    look: Look,
    spacing_mm: float,
    heading: float,
    generator: np.random.Generator,
) -> None:
    shortest, longest, least_ratio, greatest_ratio, faintest, brightest = look
    length = generator.uniform(shortest, longest)
    ratio = generator.uniform(least_ratio, greatest_ratio)
    turn = heading + generator.normal(0.0, 0.5) if ratio > 2 else generator.uniform(0, np.pi)
    brightness = generator.uniform(faintest, brightest)
    half = int(np.ceil(length / spacing_mm / 2)) + 2
    left, top = (np.floor(point).astype(int) - half).tolist()
    fine = np.zeros((2 * half * _FINE, 2 * half * _FINE), np.uint8)
    centre = (point - (left, top)) * _FINE * 16
    axes = np.array([length, length / ratio]) / spacing_mm / 2 * _FINE * 16
    cv2.ellipse(
        fine,
        tuple(np.round(centre).astype(int).tolist()),
        tuple(np.maximum(np.round(axes), 16).astype(int).tolist()),
        float(np.degrees(turn)),
        0,
        360,
        255,
        -1,
        cv2.LINE_AA,
        4,
    )
    speck = cv2.resize(fine, (2 * half, 2 * half), interpolation=cv2.INTER_AREA)
    window = signal[top : top + 2 * half, left : left + 2 * half]
    if window.shape == speck.shape:
        np.maximum(window, speck * np.float32(brightness / 255), out=window)


def _hull(
    points: NDArray[np.float64], shape: tuple[int, ...], spacing_mm: float
) -> NDArray[np.bool_]:
    drawn = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(points.astype(np.float32))
    cv2.fillConvexPoly(drawn, np.round(hull).astype(np.int32), 1)
    side = 2 * round(1.0 / spacing_mm) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(drawn, kernel), dtype=np.bool_)
