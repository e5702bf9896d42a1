"""Fat, fibroglandular tissue, ligaments and vessels of one view, in the texture of real breasts."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from training.phantoms.anatomy import COLUMNS, ROWS, Anatomy, Plane

SPECTRUM_EXPONENT: Final = 3.0
"""The power spectrum of breast tissue falls with about the third power of frequency (Burgess 2001,
doi:10.1118/1.1355308)."""

GLAND_LEVEL: Final = 820.0
_FAT_TEXTURE: Final = 95.0
_GLAND_TEXTURE: Final = 190.0
_LIGAMENTS: Final = 110.0
_VESSELS: Final = 120.0
_EDGE: Final = 1.1
"""How sharp the edge between gland and fat is, in standard deviations of the texture."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tissue:
    """What a view's tissue adds to its fat, in stored values.

    Attributes
    ----------
    values : stored values
        Before the breast's thickness thins them towards the skin.
    gland_share : [0, 1]
        Share of the breast outside the muscle that is gland.
    """

    values: Plane
    gland_share: float


def draw_tissue(anatomy: Anatomy, gland_share: float, generator: np.random.Generator) -> Tissue:
    """Draw tissue with the given share of gland."""
    parenchyma, fat = power_law_pair(generator)
    grain, web = power_law_pair(generator)
    gland = _gland(anatomy, parenchyma, gland_share, generator)
    values = _FAT_TEXTURE * fat + gland * (GLAND_LEVEL + _GLAND_TEXTURE * grain)
    values += _LIGAMENTS * (1.0 - 0.6 * gland) * _ligaments(web)
    values += _VESSELS * _vessels(anatomy, generator)
    breast = anatomy.clearance > 0
    return Tissue(values=values, gland_share=float(gland[breast].mean()))


def power_law_pair(generator: np.random.Generator) -> tuple[Plane, Plane]:
    """Draw two independent textures of mean 0 and standard deviation 1 with one transform."""
    white = generator.standard_normal((ROWS, COLUMNS, 2), dtype=np.float32)
    spectrum = white.view(np.complex64)[..., 0] * _amplitude()
    field = scipy.fft.ifft2(spectrum, overwrite_x=True)
    return np.ascontiguousarray(field.real), np.ascontiguousarray(field.imag)


@cache
def _amplitude() -> NDArray[np.float32]:
    """Return the amplitude of each frequency, so that the texture has standard deviation 1."""
    rows, columns = np.fft.fftfreq(ROWS)[:, None], np.fft.fftfreq(COLUMNS)[None, :]
    frequency = np.hypot(rows, columns)
    # Waves longer than two thirds of the breast would only make one side brighter.
    floor = 1.5 / ROWS
    amplitude = np.maximum(frequency, floor) ** (-SPECTRUM_EXPONENT / 2)
    amplitude[0, 0] = 0.0
    amplitude *= ROWS * COLUMNS / np.sqrt((amplitude**2).sum())
    return np.asarray(amplitude, dtype=np.float32)


def _gland(
    anatomy: Anatomy, parenchyma: Plane, share: float, generator: np.random.Generator
) -> Plane:
    """Return where gland is: a cone behind the nipple, torn by the texture, of the given area."""
    columns = np.arange(COLUMNS, dtype=np.float32)[None, :]
    rows = np.arange(ROWS, dtype=np.float32)[:, None]
    nipple_column, nipple_row = anatomy.nipple
    middle = nipple_row - generator.uniform(0.0, 0.10) * ROWS
    across = (rows - middle) / (0.36 * ROWS)
    along = (columns - 0.52 * nipple_column) / (0.55 * nipple_column)
    envelope = -(across * across) - along * along
    envelope -= 1.6 * np.exp(-((anatomy.skin_depth / np.float32(9.0)) ** 2))
    field = np.float32(1.5) * envelope + np.float32(0.9) * parenchyma
    breast = anatomy.clearance > 0
    sample = field[::4, ::4][breast[::4, ::4]]
    threshold = np.quantile(sample, 1.0 - share) if sample.size else 0.0
    gland = 1.0 / (1.0 + np.exp(np.clip((threshold - field) / (0.5 * _EDGE), -30, 30)))
    gland *= breast
    return gland.astype(np.float32)


def _ligaments(web: Plane) -> Plane:
    """Return thin bright curves: where a smooth field crosses one of some levels."""
    smooth = cv2.GaussianBlur(web, (0, 0), 2.5)
    curves = np.zeros_like(smooth)
    for level in (-0.8, 0.0, 0.8):
        curves += np.exp(-(((smooth - np.float32(level)) / np.float32(0.05)) ** 2))
    return np.asarray(curves, dtype=np.float32)


def _vessels(anatomy: Anatomy, generator: np.random.Generator) -> Plane:
    """Return a few vessels that run from the chest wall towards the nipple."""
    drawn = np.zeros((ROWS, COLUMNS), np.uint8)
    nipple_column, nipple_row = anatomy.nipple
    for _ in range(int(generator.integers(1, 5))):
        start = generator.uniform(0.15, 0.85) * (anatomy.bottom - anatomy.top) + anatomy.top
        end = nipple_row + generator.normal(0.0, 0.12) * ROWS
        share = np.linspace(0.0, 1.0, 24)
        bends = np.cumsum(generator.normal(0.0, 5.0, 24))
        rows = start + (end - start) * share + bends - bends[-1] * share
        columns = nipple_column * generator.uniform(0.55, 0.9) * share
        points = np.stack([columns, rows], axis=1)
        thickness = max(1, round(generator.uniform(0.8, 2.2) / anatomy.spacing_mm))
        cv2.polylines(
            drawn, [np.round(points * 8).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 3
        )
    smooth = cv2.GaussianBlur(drawn, (0, 0), 1.6)
    return np.asarray(smooth, dtype=np.float32) / np.float32(255)
