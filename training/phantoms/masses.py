"""Masses by shape and margin, and the radiating lines of a distortion."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.patch import Patch, empty_window

_ANGLES: Final = 360
_EDGES: Final = {
    "circumscribed": 0.10,
    "obscured": 0.12,
    "microlobulated": 0.12,
    "indistinct": 0.55,
    "spiculated": 0.40,
}
"""Width of the margin, in radii of the mass."""

_SPICULE_MM: Final = 0.45


def draw_mass(
    shape: str,
    margin: str,
    *,
    size_mm: float,
    spacing_mm: float,
    column: float,
    row: float,
    seed: int,
) -> Patch:
    """Draw a mass of some longest diameter around a point of the full grid.

    Parameters
    ----------
    shape, margin : words of the lexicon
    spacing_mm : mm a pixel of the full grid
    """
    generator = np.random.default_rng(seed)
    radii = _radii(shape, margin, generator)
    radii *= np.float32(size_mm / spacing_mm / _longest(radii))
    reach = float(radii.max()) * (2.1 if margin == "spiculated" else 1.4)
    left, top, across, down = empty_window(column, row, reach)
    angle = np.degrees(np.arctan2(down, across)).astype(np.int32) % _ANGLES
    relative = np.hypot(across, down) / radii[angle]
    edge = np.float32(_EDGES[margin])
    if margin == "obscured":
        # Tissue hides one side: there the edge fades.
        hidden = np.cos(np.radians(angle - generator.uniform(0, 360))).astype(np.float32)
        edge = edge + np.float32(0.9) * np.clip(hidden + np.float32(0.2), 0, 1)
    body = np.clip((1.0 + edge / 2 - relative) / edge, 0.0, 1.0)
    dome = 0.82 + 0.18 * np.sqrt(np.clip(1.0 - relative**2, 0.0, 1.0))
    signal = (body * dome).astype(np.float32)
    if margin == "spiculated":
        lines = radiating_lines(
            across,
            down,
            inner=0.5 * float(radii.min()),
            outer=reach / 1.05,
            generator=generator,
            spacing_mm=spacing_mm,
        )
        signal = np.maximum(signal, np.float32(0.8) * lines)
    return Patch(left=left, top=top, signal=signal, mask=relative < 1.0)


def draw_distortion(
    size_mm: float, spacing_mm: float, column: float, row: float, seed: int
) -> Patch:
    """Draw lines that run towards a point without a mass; the mask is the disc that they fill."""
    generator = np.random.default_rng(seed)
    reach = size_mm / spacing_mm / 2
    left, top, across, down = empty_window(column, row, reach)
    lines = radiating_lines(
        across, down, inner=reach * 0.08, outer=reach, generator=generator, spacing_mm=spacing_mm
    )
    return Patch(left=left, top=top, signal=lines, mask=np.hypot(across, down) < 0.8 * reach)


def radiating_lines(
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    *,
    inner: float,
    outer: float,
    generator: np.random.Generator,
    spacing_mm: float,
) -> NDArray[np.float32]:
    """Draw spicules from the window's point outwards, thinner and fainter towards their ends.

    Parameters
    ----------
    across, down : offsets of the pixels from the point
    inner, outer : pixels
        Where the lines begin, and how far the longest one reaches.
    """
    drawn = np.zeros((down.shape[0], across.shape[1]), np.uint8)
    centre = np.array([-across[0, 0], -down[0, 0]])
    thickness = max(1, round(_SPICULE_MM / spacing_mm))
    number = int(generator.integers(14, 25))
    turns = (np.arange(number) + generator.uniform(-0.4, 0.4, number)) * 2 * np.pi / number
    for turn in turns:
        length = outer * generator.uniform(0.55, 1.0)
        bend = turn + generator.normal(0, 0.12)
        ends = [
            centre + distance * np.array([np.cos(heading), np.sin(heading)])
            for distance, heading in ((inner, turn), (0.5 * length, turn), (length, bend))
        ]
        points = np.round(np.array(ends) * 8).astype(np.int32)
        cv2.polylines(drawn, [points], False, 255, thickness, cv2.LINE_AA, 3)
    lines = cv2.GaussianBlur(drawn, (0, 0), 0.16 / spacing_mm).astype(np.float32)
    fading = np.clip(1.15 - np.hypot(across, down) / np.float32(outer), 0.0, 1.0)
    lines *= np.minimum(fading * 1.6, 1.0)
    peak = float(lines.max())
    return np.asarray(lines / np.float32(peak) if peak > 0 else lines, dtype=np.float32)


def _longest(radii: NDArray[np.float32]) -> float:
    """Return the longest line between two points of an outline."""
    points = radii * np.exp(1j * np.radians(np.arange(_ANGLES)))
    return float(np.abs(points[:, None] - points[None]).max())


def _radii(shape: str, margin: str, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return the outline's distance from the centre at each degree, in no unit yet."""
    angles = np.radians(np.arange(_ANGLES))
    radii = np.ones(_ANGLES)
    if shape == "oval":
        ratio, turn = generator.uniform(1.35, 1.9), generator.uniform(0, np.pi)
        radii = 1.0 / np.hypot(np.cos(angles - turn) / ratio, np.sin(angles - turn))
    elif shape == "irregular":
        for cycles in (2, 3, 4, 5):
            phase = generator.uniform(0, 2 * np.pi)
            radii += generator.uniform(0.05, 0.13) * np.cos(cycles * angles + phase)
    if margin == "microlobulated":
        cycles, phase = int(generator.integers(8, 14)), generator.uniform(0, 2 * np.pi)
        radii *= 1.0 + generator.uniform(0.06, 0.10) * np.cos(cycles * angles + phase)
    return radii.astype(np.float32)
