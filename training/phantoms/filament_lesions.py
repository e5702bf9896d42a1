"""Lesions of the filament family: heaps of discs, walking spicules, polygons as specks.

Nothing of it is shared with `masses` and `calcifications`, which draw outlines by angle and
ellipses.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.patch import Patch, empty_window
from training.phantoms.patient import SPECKS, SpeckGroup

_FINE: Final = 4
_SOFTNESS: Final = {
    "circumscribed": 0.05,
    "obscured": 0.22,
    "microlobulated": 0.08,
    "indistinct": 0.28,
    "spiculated": 0.14,
}
"""Blur of the margin, in radii of the mass."""

_SPICULE_MM: Final = 0.4
_SPECK_AREA_MM2: Final = (0.15, 0.55)
_SPECK_BRIGHTNESS: Final = (380.0, 900.0)
_LENGTHENING: Final = {"coarse heterogeneous": 1.8, "fine pleomorphic": 2.4}
"""Length of a suspicious speck by its width; of the linear ones 4."""


def heap_of_discs(
    margin: str,
    *,
    size_mm: float,
    spacing_mm: float,
    column: float,
    row: float,
    seed: int,
) -> Patch:
    """Draw a mass around a point of the full grid: discs that overlap, as soft as its margin."""
    generator = np.random.default_rng([seed, 3])
    radius = size_mm / spacing_mm / 2
    left, top, across, down = empty_window(column, row, 2.0 * radius)
    body = np.zeros((down.shape[0], across.shape[1]), np.uint8)
    count = 14 if margin == "microlobulated" else int(generator.integers(2, 6))
    spread = 0.55 if margin == "microlobulated" else 0.35
    for number in range(count):
        turn = 2 * np.pi * (number + generator.uniform(-0.3, 0.3)) / count
        away = spread * radius * (1.0 if number else 0.0)
        point = (away * np.cos(turn) - across[0, 0], away * np.sin(turn) - down[0, 0])
        share = (0.62 if number == 0 else generator.uniform(0.28, 0.62)) * radius
        cv2.circle(body, tuple(np.round(point).astype(int).tolist()), max(1, round(share)), 1, -1)
    mask = body > 0
    signal = cv2.GaussianBlur(
        body.astype(np.float32), (0, 0), max(_SOFTNESS[margin] * radius, 0.8)
    ).astype(np.float32, copy=False)
    if margin == "spiculated":
        lines = walking_spicules(
            across,
            down,
            inner=0.6 * radius,
            outer=1.9 * radius,
            spacing_mm=spacing_mm,
            generator=generator,
        )
        signal = np.maximum(signal, np.float32(0.8) * lines)
    return Patch(left=left, top=top, signal=signal, mask=mask)


def star_of_walks(
    *, size_mm: float, spacing_mm: float, column: float, row: float, seed: int
) -> Patch:
    """Draw a distortion: spicules without a body; the mask is the disc that they fill."""
    generator = np.random.default_rng([seed, 3])
    reach = size_mm / spacing_mm / 2
    left, top, across, down = empty_window(column, row, reach)
    lines = walking_spicules(
        across,
        down,
        inner=0.05 * reach,
        outer=reach,
        spacing_mm=spacing_mm,
        generator=generator,
    )
    return Patch(left=left, top=top, signal=lines, mask=np.hypot(across, down) < 0.8 * reach)


def walking_spicules(
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    *,
    inner: float,
    outer: float,
    spacing_mm: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Draw lines that walk outwards at random, each step a little fainter.

    Parameters
    ----------
    inner, outer : pixels
        Where the lines begin, and how far they reach.
    """
    drawn = np.zeros((down.shape[0], across.shape[1]), np.uint8)
    centre = np.array([-across[0, 0], -down[0, 0]])
    thickness = max(1, round(_SPICULE_MM / spacing_mm))
    for _ in range(int(generator.integers(12, 22))):
        heading = generator.uniform(0, 2 * np.pi)
        point = centre + inner * np.array([np.cos(heading), np.sin(heading)])
        steps = 10
        length = (outer - inner) * generator.uniform(0.5, 1.0) / steps
        for step in range(steps):
            heading += generator.normal(0.0, 0.12)
            end = point + length * np.array([np.cos(heading), np.sin(heading)])
            ends = np.round(np.stack([point, end]) * 8).astype(np.int32)
            grey = round(255 * (1.0 - 0.7 * step / steps))
            cv2.polylines(drawn, [ends], False, grey, thickness, cv2.LINE_AA, 3)
            point = end
    smooth = cv2.GaussianBlur(drawn, (0, 0), 0.15 / spacing_mm)
    return np.asarray(smooth, dtype=np.float32) / np.float32(255)


def heap_of_specks(
    group: SpeckGroup,
    *,
    is_suspicious: bool,
    spacing_mm: float,
    column: float,
    row: float,
    heading: float,
    generator: np.random.Generator,
) -> Patch:
    """Draw a group of calcifications: jagged long ones if suspicious, else discs.

    Parameters
    ----------
    heading : radians
        Direction to the nipple.
    generator : of the view
        Lays the specks; their number follows the group's seed.
    """
    count = int(np.random.default_rng(group.seed).integers(SPECKS[0], SPECKS[1] + 1))
    size = group.size_mm / spacing_mm
    along, aside = generator.normal(0.0, 0.25, (2, count)) * size
    if group.distribution == "linear":
        aside *= 0.12
    elif group.distribution == "segmental":
        aside *= 0.5
    points = np.stack(
        [
            np.cos(heading) * along - np.sin(heading) * aside,
            np.sin(heading) * along + np.cos(heading) * aside,
        ],
        axis=1,
    )
    reach = float(np.abs(points).max()) + 3.0 / spacing_mm
    left, top, across, down = empty_window(column, row, reach)
    signal = np.zeros((down.shape[0], across.shape[1]), np.float32)
    centre = np.array([-across[0, 0], -down[0, 0]])
    for point in points:
        area = generator.uniform(*_SPECK_AREA_MM2) / spacing_mm**2
        ratio = _LENGTHENING.get(group.morphology, 4.0) if is_suspicious else 1.0
        outline = _jagged(area, ratio * generator.uniform(0.8, 1.2), generator)
        if not is_suspicious:
            outline = _disc(area)
        brightness = generator.uniform(*_SPECK_BRIGHTNESS)
        _lay_polygon(signal, centre + point, outline, float(brightness))
        if is_suspicious and group.morphology.endswith("branching"):
            turned = outline @ np.array([[0.6, 0.8], [-0.8, 0.6]])
            _lay_polygon(signal, centre + point + outline[0], turned, float(brightness))
    hull = np.zeros(signal.shape, np.uint8)
    corners = cv2.convexHull((centre + points).astype(np.float32))
    cv2.fillConvexPoly(hull, np.round(corners).astype(np.int32), 1)
    side = 2 * round(1.0 / spacing_mm) + 1
    grown = cv2.dilate(hull, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return Patch(left=left, top=top, signal=signal, mask=np.asarray(grown, dtype=np.bool_))


def _jagged(area: float, ratio: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the (corners, 2) of a long polygon with rough sides, around the origin, in pixels."""
    length, width = np.sqrt(area * ratio), np.sqrt(area / ratio)
    shares = np.linspace(-0.5, 0.5, 6)
    upper = np.stack([length * shares, 0.5 * width * generator.uniform(0.6, 1.4, 6)], axis=1)
    lower = np.stack([length * shares, -0.5 * width * generator.uniform(0.6, 1.4, 6)], axis=1)
    turn = generator.uniform(0, np.pi)
    turning = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(np.concatenate([upper, lower[::-1]]) @ turning)


def _disc(area: float) -> NDArray[np.float64]:
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.asarray(np.sqrt(area / np.pi) * np.stack([np.cos(turns), np.sin(turns)], axis=1))


def _lay_polygon(
    signal: NDArray[np.float32],
    point: NDArray[np.float64],
    outline: NDArray[np.float64],
    brightness: float,
) -> None:
    half = int(np.ceil(np.abs(outline).max())) + 2
    left, top = (np.floor(point).astype(int) - half).tolist()
    fine = np.zeros((2 * half * _FINE, 2 * half * _FINE), np.uint8)
    corners = (outline + point - (left, top)) * _FINE
    cv2.fillPoly(fine, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    speck = cv2.resize(fine, (2 * half, 2 * half), interpolation=cv2.INTER_AREA)
    window = signal[max(top, 0) : top + 2 * half, max(left, 0) : left + 2 * half]
    if window.shape == speck.shape:
        np.maximum(window, speck * np.float32(brightness / 255), out=window)
