"""A region's outline as a closed polyline of a report and as a mask on the source grid."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import ObjectRefusedError
from mammoclip_core.findings import Region

MAX_VERTICES: Final = 4000
"""Graphic Data of explicit VR holds 65,534 bytes: 8191 points of two 4-byte numbers."""

_MOST_COMPARED: Final = 1000
"""Vertices of an outline whose edges are compared with each other, which takes their square."""

_ONE_PIXEL: Final = 1.0
"""By which programs may differ on where the edge of a pixel is."""

_WIDTH_OF_A_LINE: Final = 0.01
"""Pixels within which all vertices of a line lie: coordinates may have been rounded."""

_SUBPIXEL_BITS: Final = 6
_TOLERANCES: Final = (0.25, 0.5, 0.75)
"""Largest distances in pixels by which a long outline may be simplified, the first that serves."""


def closed_polyline(region: Region, size: tuple[int, int], owner: str) -> NDArray[np.float64]:
    """Return the outline as a report writes it: last vertex equal to the first, inside the image.

    Parameters
    ----------
    size : (rows, columns) of the source image
    owner : SOP Instance UID, for the message

    Returns
    -------
    (n, 2) float64
        Points ``(column, row)``, the outer corner of the first pixel at ``(0, 0)``.

    Raises
    ------
    ObjectRefusedError
        A vertex lies outside the image, or the outline is too long to be written.

    References
    ----------
    PS3.3 C.18.6.1.1 (coordinates), C.18.6.1.2 (a closed polyline repeats its first vertex).
    """
    points = _simplified(_points_of(region, size, owner), owner)
    return np.vstack([points, points[:1]])


def fill_band(region: Region, size: tuple[int, int], owner: str) -> tuple[int, NDArray[np.bool_]]:
    """Return the rows of a mask that a region touches: the pixels on its outline and within it.

    Parameters
    ----------
    size : (rows, columns) of the source image
    owner : SOP Instance UID, for the message

    Returns
    -------
    int, (rows, columns) bool
        The first of these rows, and these rows over all columns of the image.

    Raises
    ------
    ObjectRefusedError
        A vertex lies outside the image.
    """
    # OpenCV puts (0, 0) at the centre of the first pixel, findings put it at its outer corner.
    centres = _points_of(region, size, owner) - 0.5
    top = max(math.floor(centres[:, 1].min()), 0)
    bottom = min(math.ceil(centres[:, 1].max()) + 1, size[0])
    band = np.zeros((bottom - top, size[1]), dtype=np.uint8)
    fixed_point = np.round((centres - (0, top)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(band, [fixed_point], 1, shift=_SUBPIXEL_BITS)
    return top, band.view(np.bool_)


def require_inside(region: Region, size: tuple[int, int], owner: str) -> None:
    """Make sure that outline, box and peak lie in their image, and outline and peak in their box.

    Objects draw the outline, link and locate by the box, and track by the peak: in two places a
    region would be said to lie where it is not drawn. Raises ObjectRefusedError.

    Parameters
    ----------
    size : (rows, columns) of the source image
    owner : SOP Instance UID, for the message
    """
    points = _points_of(region, size, owner)
    left, top, right, bottom = region.box
    if not (0.0 <= left <= right <= size[1] and 0.0 <= top <= bottom <= size[0]):
        raise ObjectRefusedError(
            f"image {owner}: a region's box {region.box} is none within {size[0]} rows and "
            f"{size[1]} columns"
        )
    column, row = region.peak
    if not (0.0 <= column <= size[1] and 0.0 <= row <= size[0]):
        raise ObjectRefusedError(
            f"image {owner}: a region's peak {region.peak} lies outside of {size[0]} rows and "
            f"{size[1]} columns"
        )
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < np.array((left, top)) - _ONE_PIXEL).any() or (
        high > np.array((right, bottom)) + _ONE_PIXEL
    ).any():
        raise ObjectRefusedError(
            f"image {owner}: an outline from column {low[0]:g} to {high[0]:g} and row {low[1]:g} "
            f"to {high[1]:g} leaves the box {region.box} of its region"
        )
    if not (
        left - _ONE_PIXEL <= column <= right + _ONE_PIXEL
        and top - _ONE_PIXEL <= row <= bottom + _ONE_PIXEL
    ):
        raise ObjectRefusedError(
            f"image {owner}: the peak {region.peak} leaves the box {region.box} of its region"
        )


def crosses_itself(region: Region) -> bool:
    """Tell whether two edges of an outline cross; edges that touch or retrace another do not."""
    start = np.asarray(region.outline, dtype=np.float64)
    if len(start) > _MOST_COMPARED or not np.isfinite(start).all():
        return False
    stop = np.roll(start, -1, axis=0)
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    # Only edges whose boxes overlap can cross: a thousand pairs of a hundred thousand.
    order = np.argsort(low[:, 0])
    ends = np.searchsorted(low[order, 0], high[order, 0])
    later = np.maximum(ends - np.arange(1, len(order) + 1), 0)
    places = np.repeat(np.arange(len(order)), later)
    steps = np.arange(len(places)) - np.repeat(np.cumsum(later) - later, later)
    first, second = order[places], order[places + 1 + steps]
    overlap = (low[first, 1] < high[second, 1]) & (low[second, 1] < high[first, 1])
    first, second = first[overlap], second[overlap]
    return bool(
        (
            _lies_between(start, stop, first, second) & _lies_between(start, stop, second, first)
        ).any()
    )


def is_line(region: Region) -> bool:
    """Tell whether all vertices of an outline lie on one line, or in one point."""
    points = np.asarray(region.outline, dtype=np.float64)
    if not np.isfinite(points).all():
        return False
    points = points - points.mean(axis=0)
    # The last row is the direction in which they lie closest together.
    across = points @ np.linalg.svd(points, full_matrices=False)[2][-1]
    return bool(np.abs(across).max() < _WIDTH_OF_A_LINE / 2)


def _lies_between(
    start: NDArray[np.float64],
    stop: NDArray[np.float64],
    edge: NDArray[np.intp],
    other: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Tell for pairs of edges whether the line through one lies between the ends of the other."""
    along = stop[edge] - start[edge]
    sides = [
        np.sign(along[:, 0] * toward[:, 1] - along[:, 1] * toward[:, 0])
        for toward in (start[other] - start[edge], stop[other] - start[edge])
    ]
    return np.asarray(sides[0] * sides[1] < 0)


def dashes_of(points: NDArray[np.float64], length: float) -> list[NDArray[np.float64]]:
    """Break a closed outline into dashes with gaps as long as they are, two dashes at least.

    Parameters
    ----------
    points : (n, 2)
        First vertex not repeated.
    length : about, in the unit of the points
    """
    ring = np.vstack([points, points[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))])
    count = max(round(along[-1] / (2.0 * length)), 2)
    edges = np.linspace(0.0, along[-1], 2 * count + 1)
    dashes = []
    for start, stop in zip(edges[:-1:2], edges[1::2], strict=True):
        corners = ring[(along > start) & (along < stop)]
        ends = [[np.interp(place, along, axis) for axis in ring.T] for place in (start, stop)]
        dashes.append(np.vstack([ends[:1], corners, ends[1:]]))
    return dashes


def _points_of(region: Region, size: tuple[int, int], owner: str) -> NDArray[np.float64]:
    points = np.asarray(region.outline, dtype=np.float64)
    rows, columns = size
    if not np.isfinite(points).all() or points.min() < 0 or (points > (columns, rows)).any():
        raise ObjectRefusedError(f"an outline leaves image {owner} of {rows} x {columns} pixels")
    return points


def _simplified(points: NDArray[np.float64], owner: str) -> NDArray[np.float64]:
    if len(points) <= MAX_VERTICES:
        return points
    curve = points.astype(np.float32).reshape(-1, 1, 2)
    for tolerance in _TOLERANCES:
        fewer = cv2.approxPolyDP(curve, tolerance, True).reshape(-1, 2)
        if 3 <= len(fewer) <= MAX_VERTICES:
            return np.asarray(fewer, dtype=np.float64)
    raise ObjectRefusedError(f"an outline of image {owner} has {len(points)} vertices")
