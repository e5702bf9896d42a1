"""The heatmap and the outlines on the rendered image, and where a source pixel went."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dicom_node.objects.drawing.heat_colors import ACTIVE, HeatColors, PictureStyle, levels_of
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.findings.outlines import dashes_of
from mammoclip_core.findings import Heatmap, ImageFindings

_HEAT_LONG_SIDE: Final = 256
"""Pixels of the grid on which heatmaps are joined: finer than any model's cells."""

_BAND_ROWS: Final = 128
"""Rows that are tinted at once: as much as a processor keeps close."""

_SUBPIXEL_BITS: Final = 4
_SMOOTH: Final = 0.125
"""Pixels of the picture by which an outline may be simplified: each vertex is drawn as a disc."""

_HALO: Final = (8, 10, 12)
_DASH: Final = 5.0
"""Length of a dash and of the gap behind it, in thicknesses of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the pixels of the source lie in a picture.

    Attributes
    ----------
    column_offset, row_offset : pixels of the picture
        Of the outer corner of the first source pixel.
    column_scale, row_scale : pixels of the picture for one of the source
    """

    column_offset: int
    row_offset: int
    column_scale: float
    row_scale: float

    def to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 2) points ``(column, row)`` from the source to the picture."""
        scale = np.array([self.column_scale, self.row_scale])
        offset = np.array([self.column_offset, self.row_offset], dtype=np.float64)
        return np.asarray(points * scale + offset, dtype=np.float64)


def heatmaps_of(image: ImageFindings, heatmaps: Iterable[Heatmap]) -> list[Heatmap]:
    """Return the heatmaps of one image, or of one frame of it."""
    return [
        heatmap
        for heatmap in heatmaps
        if (heatmap.sop_instance_uid, heatmap.frame) == (image.sop_instance_uid, image.frame)
    ]


def shown_heatmaps(image: ImageFindings, heatmaps: Sequence[Heatmap]) -> list[Heatmap]:
    """Return the heatmaps of findings above their threshold."""
    return [
        heatmap
        for finding in image.findings
        if finding.above_threshold
        for heatmap in heatmaps
        if heatmap.finding == finding.name
    ]


def paint(
    canvas: NDArray[np.uint8],
    display: DisplayPicture,
    heatmaps: Sequence[Heatmap],
    style: PictureStyle,
) -> None:
    """Paint an image, and over it faintly the strongest of the heatmaps where it is active.

    Colour lies on the breast alone, never on the air around it.

    Parameters
    ----------
    canvas : (rows, columns, 3) uint8, changed in place
        Of the picture's size. RGB; grey where no heatmap is active, and all of it in the grey
        style.
    """
    cv2.cvtColor(display.pixels, cv2.COLOR_GRAY2RGB, dst=canvas)
    if not heatmaps or style is PictureStyle.GREY:
        return
    heat = _joined(display, heatmaps)
    window = _window_above(heat, ACTIVE[0])
    if window is None:
        return
    rows, columns = display.pixels.shape
    (top, bottom), (left, right) = (
        (max(0, round((one.start - 1) * step)), min(limit, round((one.stop + 1) * step)))
        for one, step, limit in zip(
            window,
            (rows / heat.shape[0], columns / heat.shape[1]),
            (rows, columns),
            strict=True,
        )
    )
    levels = cv2.resize(levels_of(heat), (columns, rows), interpolation=cv2.INTER_LINEAR)
    levels *= display.tissue.on(display.pixels)
    colors = HeatColors(style)
    for start in range(top, bottom, _BAND_ROWS):
        part = (slice(start, min(bottom, start + _BAND_ROWS)), slice(left, right))
        canvas[part] = colors.over(display.pixels[part], np.asarray(levels[part], dtype=np.uint8))


def _joined(display: DisplayPicture, heatmaps: Sequence[Heatmap]) -> NDArray[np.float32]:
    """Return the highest of the heatmaps on one grid over the whole image."""
    rows, columns = display.pixels.shape
    share = min(1.0, _HEAT_LONG_SIDE / max(rows, columns))
    heat = np.zeros((max(1, round(rows * share)), max(1, round(columns * share))), np.float32)
    scale = (
        display.column_scale * heat.shape[1] / columns,
        display.row_scale * heat.shape[0] / rows,
    )
    for heatmap in heatmaps:
        raise_to(heat, heatmap, scale)
    return heat


def raise_to(
    heat: NDArray[np.float32], heatmap: Heatmap, scale: tuple[float, float] = (1.0, 1.0)
) -> None:
    """Raise the pixels of a grid to a heatmap's values, within the heatmap's extent.

    Parameters
    ----------
    heat : (rows, columns), changed in place
        Covers the whole source image.
    scale : columns and rows of the grid for one of the source
    """
    column_scale, row_scale = scale
    left, top, right, bottom = heatmap.extent
    heat_rows, heat_columns = heatmap.values.shape
    rows, columns = heat.shape
    column_step = heat_columns / (right - left)
    row_step = heat_rows / (bottom - top)
    # Centres of grid pixels, as source coordinates.
    x = (np.arange(columns) + 0.5) / column_scale
    y = (np.arange(rows) + 0.5) / row_scale
    inside_x = np.flatnonzero((x >= left) & (x < right))
    inside_y = np.flatnonzero((y >= top) & (y < bottom))
    if not (inside_x.size and inside_y.size):
        return
    first_x, first_y = inside_x[0], inside_y[0]
    to_heat = np.array(
        [
            [column_step / column_scale, 0.0, (x[first_x] - left) * column_step - 0.5],
            [0.0, row_step / row_scale, (y[first_y] - top) * row_step - 0.5],
        ]
    )
    resampled = cv2.warpAffine(
        np.ascontiguousarray(heatmap.values, dtype=np.float32),
        to_heat,
        (len(inside_x), len(inside_y)),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    window = heat[first_y : first_y + len(inside_y), first_x : first_x + len(inside_x)]
    np.maximum(window, resampled, out=window)


def draw_outlines(
    canvas: NDArray[np.uint8],
    image: ImageFindings,
    placement: Placement,
    colors: Mapping[str, RGB],
    thickness: int,
) -> None:
    """Draw the outline of each region into an RGB canvas, with a dark line around the colour.

    That of a region below the threshold is broken.
    """
    outlines = []
    regions = [(finding.name, region) for finding in image.findings for region in finding.regions]
    for name, region in regions:
        points = _fewer(placement.to_picture(np.asarray(region.outline)))
        parts = [points] if region.above_threshold else dashes_of(points, _DASH * thickness)
        outlines.append((colors[name], region.above_threshold, list(map(_fixed_point, parts))))
    for color, width in ((_HALO, thickness + 2), (None, thickness)):
        for own_color, is_closed, lines in outlines:
            cv2.polylines(
                canvas,
                lines,
                is_closed,
                own_color if color is None else color,
                width,
                cv2.LINE_AA,
                _SUBPIXEL_BITS,
            )


def _window_above(heat: NDArray[np.float32], lowest: float) -> tuple[slice, slice] | None:
    """Return the rows and columns outside of which no value is above `lowest`, if any is."""
    above = heat > lowest
    rows, columns = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
    if not rows.size:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _fewer(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out vertices that nobody would see."""
    curve = points.astype(np.float32).reshape(-1, 1, 2)
    fewer = cv2.approxPolyDP(curve, _SMOOTH, True).reshape(-1, 2)
    return np.asarray(fewer, dtype=np.float64) if len(fewer) > 2 else points


def _fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    # OpenCV puts (0, 0) at the centre of the first pixel, a placement at its outer corner.
    return np.round((points - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
