"""Where the model looked: class activation maps, and the regions above a threshold in them."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.findings import Box, Point, Region

DEFAULT_THRESHOLD: Final = 0.5
DEFAULT_MAX_REGIONS: Final = 5
DEFAULT_MIN_AREA: Final = 64
MAX_VERTICES: Final = 400
OUTLINE_TOLERANCE: Final = 1.0


def class_activation(
    feature_map: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Sum the channels, each by what it adds to a similarity.

    Parameters
    ----------
    feature_map : (C, H, W) float32
    weights : (C,) float32
        Of a pair of prompts: the image projection's transpose times the difference of the
        positive and the negative embedding.

    Returns
    -------
    (H, W) float32
        Positive where the image speaks for the positive prompt; `relative` makes a heatmap of it.

    References
    ----------
    Zhou et al., Learning Deep Features for Discriminative Localization (CVPR 2016), section 2.
    """
    return np.tensordot(weights, feature_map, axes=1).astype(np.float32)


def relative(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Drop negative values and divide by the maximum; all 0 where there is none above 0."""
    positive = np.maximum(values, np.float32(0))
    maximum = float(positive.max())
    if maximum == 0.0:
        return positive
    return np.minimum(positive / np.float32(maximum), np.float32(1))


def on_input_grid(
    values: NDArray[np.float32], stride: int, first_centre: float, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Move a feature map to a grid that covers the model input from edge to edge.

    The cells of a convolutional feature map lie `stride` input pixels apart, and the first one
    looks at the input pixel `first_centre`: they neither begin at the input's edge nor end there.

    Parameters
    ----------
    values : (h, w) float32
    size : (rows, columns) of the model input

    Returns
    -------
    (h, w) float32
        Linear between cell centres, constant beyond the outer ones.
    """
    result = values
    for axis in (0, 1):
        cells = values.shape[axis]
        centres = (np.arange(cells) + 0.5) * (size[axis] / cells) - 0.5
        positions = np.clip((centres - first_centre) / stride, 0, cells - 1)
        lower = np.minimum(positions.astype(np.intp), max(cells - 2, 0))
        upper = np.minimum(lower + 1, cells - 1)
        share = (positions - lower).astype(np.float32)
        share = share[:, np.newaxis] if axis == 0 else share
        low, high = np.take(result, lower, axis), np.take(result, upper, axis)
        result = (low * (1 - share) + high * share).astype(np.float32)
    return result


def regions_of(
    values: NDArray[np.float32],
    extent: Box,
    source_size: tuple[int, int],
    *,
    threshold: float = DEFAULT_THRESHOLD,
    max_regions: int = DEFAULT_MAX_REGIONS,
    min_area_pixels: int = DEFAULT_MIN_AREA,
) -> tuple[Region, ...]:
    """Outline where a heatmap reaches a threshold, on the grid of the source image.

    Parameters
    ----------
    values : (h, w) float32 in [0, 1]
    extent : half-open box in source pixels
        What the outer corners of `values` lie on.
    source_size : (rows, columns) of the source image

    Returns
    -------
    tuple of Region
        By falling activation, then area. A hole belongs to the region around it.
    """
    # The values are enlarged and not the mask, which would keep the steps of the coarse grid.
    upsampled, left, top = _on_source(values, extent, source_size)
    mask = (upsampled >= threshold).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    regions = [
        _region_of(contour.astype(np.int32, copy=False), upsampled, left, top)
        for contour in contours
    ]
    large = [region for region in regions if region.area_pixels >= min_area_pixels]
    large.sort(key=lambda region: (-region.activation, -region.area_pixels, region.box))
    return tuple(large[:max_regions])


def _on_source(
    values: NDArray[np.float32], extent: Box, source_size: tuple[int, int]
) -> tuple[NDArray[np.float32], int, int]:
    """Return the heatmap at source resolution, with the source pixel of its first one."""
    left, top, right, bottom = (round(edge) for edge in extent)
    size = (max(right - left, 1), max(bottom - top, 1))
    upsampled = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_LINEAR).astype(
        np.float32, copy=False
    )
    first_row, first_column = max(-top, 0), max(-left, 0)
    inside = upsampled[first_row : source_size[0] - top, first_column : source_size[1] - left]
    return inside, left + first_column, top + first_row


def _region_of(
    contour: NDArray[np.int32], upsampled: NDArray[np.float32], left: int, top: int
) -> Region:
    x, y, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [contour], 0, 1, thickness=cv2.FILLED, offset=(-x, -y))
    window = np.where(inside > 0, upsampled[y : y + height, x : x + width], np.float32(-1))
    row, column = np.unravel_index(int(window.argmax()), window.shape)
    box = (float(left + x), float(top + y), float(left + x + width), float(top + y + height))
    return Region(
        outline=_outline_of(contour, left, top) or _outline_of_thin(inside, box),
        box=box,
        area_pixels=int(inside.sum()),
        peak=(left + x + float(column) + 0.5, top + y + float(row) + 0.5),
        activation=min(max(float(window[row, column]), 0.0), 1.0),
    )


def _outline_of(contour: NDArray[np.int32], left: int, top: int) -> tuple[Point, ...]:
    """Simplify the chain of boundary pixel centres; empty where it encloses nothing."""
    vertices = _simplified(contour)
    if len(vertices) < 3 or cv2.contourArea(vertices) == 0:
        return ()
    return tuple((left + float(x) + 0.5, top + float(y) + 0.5) for x, y in vertices[:, 0])


def _outline_of_thin(inside: NDArray[np.uint8], box: Box) -> tuple[Point, ...]:
    """Outline a region whose boundary pixel centres enclose nothing: a line of pixels.

    Parameters
    ----------
    inside : (rows, columns) 1 where the region is, in its box
    """
    if inside.all():
        return _corners_of(box)
    # In thirds of a pixel a line is 3 wide, so that its outline encloses it.
    thirds = np.kron(inside, np.ones((3, 3), np.uint8))
    (contour, *_), _ = cv2.findContours(thirds, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    vertices = _simplified(contour.astype(np.int32, copy=False))
    left, top, _, _ = box
    return tuple((left + (x + 0.5) / 3, top + (y + 0.5) / 3) for x, y in vertices[:, 0].tolist())


def _simplified(contour: NDArray[np.int32]) -> NDArray[np.int32]:
    tolerance = OUTLINE_TOLERANCE
    vertices = cv2.approxPolyDP(contour, tolerance, closed=True)
    while len(vertices) > MAX_VERTICES:
        tolerance *= 1.5
        vertices = cv2.approxPolyDP(contour, tolerance, closed=True)
    return vertices.astype(np.int32, copy=False)


def _corners_of(box: Box) -> tuple[Point, ...]:
    left, top, right, bottom = box
    return ((left, top), (right, top), (right, bottom), (left, bottom))
