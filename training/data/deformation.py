"""How an image is deformed: where each of its pixels comes from, and where its boxes go."""

from dataclasses import dataclass
from math import cos, radians, sin, sqrt, tan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Matrix = NDArray[np.float64]
"""(3, 3), from a point (x, y, 1) of the image to where it goes; pixel centres are integers."""

_STEPS_TO_INVERT = 4
"""Of a fixed point, from an image's points to where a displacement of few pixels brings them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deformation:
    """One deformation: a matrix, then reference points that move, then a field of displacements.

    Attributes
    ----------
    matrix : what it uncovers is black
    moved : second matrix; what it uncovers is the image, reflected at its edges
    field : (2, rows, columns), from a pixel of the result to where it is taken from, or None
    """

    matrix: Matrix
    moved: Matrix | None = None
    field: Tensor | None = None

    def of_image(self, image: Tensor) -> Tensor:
        """Deform an image, (channels, rows, columns), in one bilinear interpolation."""
        rows, columns = image.shape[1:]
        x: Tensor = torch.arange(columns, dtype=torch.float32)[None, :]
        y: Tensor = torch.arange(rows, dtype=torch.float32)[:, None]
        if self.field is not None:
            x, y = _reflected(x + self.field[0], columns), _reflected(y + self.field[1], rows)
        if self.moved is not None:
            x, y = _through(np.asarray(np.linalg.inv(self.moved), np.float64), x, y)
            x, y = _reflected(x, columns), _reflected(y, rows)
        unit = np.array(
            [[2 / max(columns - 1, 1), 0, -1], [0, 2 / max(rows - 1, 1), -1], [0, 0, 1]]
        )
        back: Matrix = np.asarray(unit @ np.linalg.inv(self.matrix), np.float64)
        x, y = _through(back, x, y)
        grid = torch.stack((x, y), dim=-1)[None]
        taken: Tensor = functional.grid_sample(image[None], grid, align_corners=True)
        return taken[0]

    def of_points(self, points: Tensor) -> Tensor:
        """Return where points, (N, 2) as x and y, of the image go."""
        x, y = _through(self.matrix, points[:, 0], points[:, 1])
        if self.moved is not None:
            x, y = _through(self.moved, x, y)
        if self.field is not None:
            start_x, start_y = x, y
            for _ in range(_STEPS_TO_INVERT):
                shift = _field_at(self.field, x, y)
                x, y = start_x - shift[0], start_y - shift[1]
        return torch.stack((x, y), dim=1)


def centred(matrix: Matrix, rows: int, columns: int) -> Matrix:
    """Return a matrix that acts about the image's centre."""
    centre = np.array([[1, 0, (columns - 1) / 2], [0, 1, (rows - 1) / 2], [0, 0, 1]])
    result: Matrix = centre @ matrix @ np.linalg.inv(centre)
    return result


def mirror(*, horizontally: bool, vertically: bool) -> Matrix:
    """Return the matrix of a mirrored image, about its centre."""
    return np.diag([-1.0 if horizontally else 1.0, -1.0 if vertically else 1.0, 1.0])


def affine(
    *,
    degrees: float,
    shear: tuple[float, float],
    scale: tuple[float, float],
    shift: tuple[float, float],
) -> Matrix:
    """Return the matrix that shears along y, scales, shears along x, turns and shifts, in order.

    Parameters
    ----------
    degrees : from the x axis towards the y axis, which points down
    shear : degrees along x and y
    scale : factors of x and y
    shift : pixels along x and y
    """
    angle = radians(degrees)
    shear_x, shear_y = (tan(radians(value)) for value in shear)
    turned = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    linear = (
        turned
        @ np.array([[1, shear_x], [0, 1]])
        @ np.diag(scale)
        @ np.array([[1, 0], [shear_y, 1]])
    )
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, shift
    return matrix


def from_points(before: Matrix, after: Matrix) -> Matrix:
    """Return the affine matrix that brings three points, (3, 2), to three others."""
    matrix = np.eye(3)
    matrix[:2] = np.linalg.solve(np.c_[before, np.ones(3)], after).T
    return matrix


def smooth_field(
    rows: int, columns: int, *, alpha: float, sigma: float, generator: torch.Generator
) -> Tensor:
    """Draw displacements, (2, rows, columns) in pixels: noise in [-1, 1] blurred, times alpha.

    The noise is drawn on a grid three times as fine as the blur is wide, which is a hundred times
    faster than one value a pixel and has the same strength and smoothness.

    Parameters
    ----------
    sigma : pixels, of the Gaussian blur
    """
    step = max(1, int(sigma / 3))
    height, width = (-(-side // step) + 1 for side in (rows, columns))
    noise = torch.randn((2, 1, height, width), generator=generator) / (sqrt(3) * step)
    radius = max(1, round(4 * sigma / step))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets * step / sigma) ** 2)
    kernel /= kernel.sum()
    padded = functional.pad(noise, (radius,) * 4, mode="replicate")
    blurred = functional.conv2d(
        functional.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None]
    )
    full = functional.interpolate(
        blurred,
        size=((height - 1) * step + 1, (width - 1) * step + 1),
        mode="bilinear",
        align_corners=True,
    )
    return alpha * full[:, 0, :rows, :columns]


def _through(matrix: Matrix, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    (a, b, c), (d, e, f) = matrix[:2].tolist()
    return x * a + (y * b + c), x * d + (y * e + f)


def _reflected(values: Tensor, side: int) -> Tensor:
    """Reflect coordinates at the centres of an image's outermost pixels."""
    period = max(2 * (side - 1), 1)
    within = values.abs().remainder_(period)
    return torch.minimum(within, period - within)


def _field_at(field: Tensor, x: Tensor, y: Tensor) -> Tensor:
    rows, columns = field.shape[1:]
    row = y.round().long().clamp(0, rows - 1)
    column = x.round().long().clamp(0, columns - 1)
    return field[:, row, column]
