"""From stored values to the model's input as the published weights expect it, and the way back."""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import BundleError, PixelError
from mammoclip_core.findings import Box
from mammoclip_core.images.breast_geometry import BreastGeometry
from mammoclip_core.images.clinical_crop import clinical_crop
from mammoclip_core.images.pixel_statistics import PixelStatistics
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import CLINICAL_MODE, PREPROCESSING_MODES, Preprocessing

PUBLISHED_MEAN: Final = 0.3089279
PUBLISHED_STD: Final = 0.25053555408335154

PUBLISHED_SIZE: Final = (1520, 912)
"""Rows and columns of the published pictures, which do not say that they are prepared."""

FRAME_PIXELS: Final = 5
"""What is cut off every side: scanners draw frames there."""

BACKGROUND_LEVEL: Final = 40
"""8-bit value up to which a pixel is background for the crop."""

Runs = tuple[tuple[int, int], ...]
"""Half-open intervals of columns or rows, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropGeometry:
    """Which columns and rows of the source became the model input, and at what scale.

    Attributes
    ----------
    column_runs, row_runs : source pixels
        One run each, save where the published crop finds several of the same greatest length:
        it then joins them.
    input_columns, input_rows : model input size in pixels
    """

    column_runs: Runs
    row_runs: Runs
    input_columns: int
    input_rows: int

    @property
    def left(self) -> int:
        """Return the first source column."""
        return self.column_runs[0][0]

    @property
    def top(self) -> int:
        """Return the first source row."""
        return self.row_runs[0][0]

    @property
    def column_scale(self) -> float:
        """Return input pixels a source pixel along a row."""
        return self.input_columns / _total(self.column_runs)

    @property
    def row_scale(self) -> float:
        """Return input pixels a source pixel along a column."""
        return self.input_rows / _total(self.row_runs)

    @property
    def extent(self) -> Box:
        """Return the box of the source that holds everything the model saw."""
        right, bottom = self.column_runs[-1][1], self.row_runs[-1][1]
        return float(self.left), float(self.top), float(right), float(bottom)

    @property
    def is_joined(self) -> bool:
        """Tell whether the input is joined from several parts of the source."""
        return len(self.column_runs) > 1 or len(self.row_runs) > 1

    def to_source(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 2) ``(column, row)`` points from model input to source pixels."""
        columns = _spread(points[:, 0] / self.column_scale, self.column_runs)
        rows = _spread(points[:, 1] / self.row_scale, self.row_runs)
        return np.stack([columns, rows], axis=1)

    def to_input(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 2) ``(column, row)`` points from source pixels to the model input.

        What lies between two joined parts falls on their seam.
        """
        columns = _gather(points[:, 0], self.column_runs) * self.column_scale
        rows = _gather(points[:, 1], self.row_runs) * self.row_scale
        return np.stack([columns, rows], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedImage:
    """What the model is shown of one image.

    Attributes
    ----------
    values : (rows, columns) float32
        One channel: the model's three are equal.
    source_rows, source_columns : source pixels
    grey : (rows, columns) unsigned
        The same before it is normalised: what a detector is shown comes from it.
    detector_values : (512, 512) float32, or None where the bundle has no detector
    remark : as of the stored image
    is_whole_breast : whether it is a flat view of a whole breast, as far as its header tells
    breast : where nipple and chest wall lie; None where that is not known
    pixels : how the image looks; None where it is no view of a whole breast
    """

    values: NDArray[np.float32]
    geometry: CropGeometry
    source_rows: int
    source_columns: int
    grey: NDArray[Any]
    detector_values: NDArray[np.float32] | None = None
    remark: str = ""
    is_whole_breast: bool = False
    breast: BreastGeometry | None = None
    pixels: PixelStatistics | None = None


def prepare(image: StoredImage, preprocessing: Preprocessing) -> PreparedImage:
    """Crop, scale and normalise one image as the bundle's mode of preprocessing says.

    ``published`` is what the published weights were trained on: no VOI LUT, window or padding
    value is applied. ``clinical`` shows the image as its header asks, in 16 bits, and finds the
    breast among markers and labels. Neither keeps the aspect ratio. A picture that says that it
    was cropped before, or has the size of the model's input or of the published pictures, is
    scaled alone.

    Raises
    ------
    PixelError
        The image, or what is left of it, has one single value.
    BundleError
        The bundle asks for a way of preparing images that this version does not know.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 3, and the published PNG data set's recipe.
    """
    if preprocessing.mode not in PREPROCESSING_MODES:
        raise BundleError(f"preprocessing mode {preprocessing.mode!r} is not known")
    size = (preprocessing.rows, preprocessing.columns)
    if image.is_prepared or (
        image.may_be_prepared and image.values.shape in (size, PUBLISHED_SIZE)
    ):
        return _already_prepared(image, preprocessing)
    crop: NDArray[Any]
    if preprocessing.mode == CLINICAL_MODE:
        crop, (left, top, right, bottom) = clinical_crop(image)
        column_runs: Runs = ((left, right),)
        row_runs: Runs = ((top, bottom),)
    else:
        grey = to_grey(image)
        columns, rows = breast_crop(grey)
        crop = np.ascontiguousarray(grey[_selection(rows)][:, _selection(columns)])
        column_runs, row_runs = _runs_of(columns + FRAME_PIXELS), _runs_of(rows + FRAME_PIXELS)
    resized = cv2.resize(crop, size[::-1], interpolation=cv2.INTER_AREA)
    return PreparedImage(
        values=_normalise(resized, preprocessing, image.sop_instance_uid),
        geometry=CropGeometry(
            column_runs=column_runs,
            row_runs=row_runs,
            input_columns=preprocessing.columns,
            input_rows=preprocessing.rows,
        ),
        source_rows=image.rows,
        source_columns=image.columns,
        grey=resized,
        remark=image.remark,
    )


def _already_prepared(image: StoredImage, preprocessing: Preprocessing) -> PreparedImage:
    """Scale an image that was cropped before to the bundle's size, and normalise it."""
    grey = image.values
    size = (preprocessing.rows, preprocessing.columns)
    if grey.shape != size:
        grey = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)
    return PreparedImage(
        values=_normalise(grey, preprocessing, image.sop_instance_uid),
        geometry=CropGeometry(
            column_runs=((0, image.columns),),
            row_runs=((0, image.rows),),
            input_columns=preprocessing.columns,
            input_rows=preprocessing.rows,
        ),
        source_rows=image.rows,
        source_columns=image.columns,
        grey=_eight_bits(grey),
        remark=image.remark,
    )


def _eight_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Spread values of more bits over 8: how many of them a picture uses, its file does not say."""
    if grey.dtype == np.uint8:
        return grey
    lowest, highest = int(grey.min()), int(grey.max())
    levels = (grey.astype(np.float32) - lowest) * np.float32(255 / max(highest - lowest, 1))
    return np.round(levels).astype(np.uint8)


def to_grey(image: StoredImage) -> NDArray[np.uint8]:
    """Scale the image without its outer frame to 8 bits, air dark, in the published arithmetic.

    Returns
    -------
    (rows - 10, columns - 10) uint8
    """
    inner = image.values[FRAME_PIXELS:-FRAME_PIXELS, FRAME_PIXELS:-FRAME_PIXELS]
    lowest, highest = int(inner.min()), int(inner.max())
    # A table over the values that occur gives the same bits as arithmetic on every pixel, in half
    # the time.
    table = np.arange(lowest, highest + 1, dtype=np.int32).astype(np.float32)
    table = table * np.float32(image.rescale_slope) + np.float32(image.rescale_intercept)
    if image.photometric_interpretation == "MONOCHROME1":
        table = table.max() - table
    table = table - table.min()
    greatest = table.max()
    if not 0 < greatest < np.inf:
        raise PixelError(f"{image.sop_instance_uid}: all pixels have the same value")
    levels = (table / greatest * np.float32(255)).astype(np.uint8)
    patterns = inner.view(f"u{inner.dtype.itemsize}")
    by_pattern = np.zeros(1 << (8 * inner.dtype.itemsize), np.uint8)
    by_pattern[np.arange(lowest, highest + 1).astype(inner.dtype).view(patterns.dtype)] = levels
    grey: NDArray[np.uint8] = by_pattern[patterns]
    return grey


def breast_crop(
    grey: NDArray[np.uint8],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the columns and rows that hold the breast, as the published crop does.

    Returns
    -------
    columns, rows : increasing indices into `grey`
        The longest run of columns that are not constant over the middle 80 % of the rows, then
        the longest run of rows over the middle 80 % of those columns.
    """
    _, thresholded = cv2.threshold(grey, BACKGROUND_LEVEL, 0, cv2.THRESH_TOZERO)
    foreground = thresholded.astype(np.uint8, copy=False)
    columns = _longest_runs(_is_varied(foreground[_middle(foreground.shape[0])], axis=0))
    foreground = foreground[:, _selection(columns)]
    rows = _longest_runs(_is_varied(foreground[:, _middle(foreground.shape[1])], axis=1))
    return columns, rows


def _selection(indices: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return a slice where the indices have no gap: it copies nothing."""
    first, last = int(indices[0]), int(indices[-1])
    return slice(first, last + 1) if last - first + 1 == len(indices) else indices


def _middle(length: int) -> slice:
    return slice(length // 2 - int(length * 0.4), length // 2 + int(length * 0.4))


def _is_varied(values: NDArray[np.uint8], axis: int) -> NDArray[np.bool_]:
    if values.shape[axis] == 0:  # the published standard deviation of nothing is not 0
        return np.ones(values.shape[1 - axis], dtype=np.bool_)
    varied: NDArray[np.bool_] = values.max(axis=axis) != values.min(axis=axis)
    return varied


def _longest_runs(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indices of the longest runs of True, with the quirks of the published crop.

    A run counts one less for each end of the array that it touches, several runs of the greatest
    length are all kept, and a mask without any True keeps everything.
    """
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    starts, stops = edges[0::2], edges[1::2]
    if len(starts) == 0:
        return np.arange(len(mask))
    lengths = stops - starts - (starts == 0) - (stops == len(mask))
    keep = lengths == lengths.max()
    return np.concatenate(
        [np.arange(start, stop) for start, stop in zip(starts[keep], stops[keep], strict=True)]
    )


def _normalise(
    grey: NDArray[Any], preprocessing: Preprocessing, sop_instance_uid: str
) -> NDArray[np.float32]:
    """Scale unsigned values to [0, 1] and by the mean and standard deviation of the weights."""
    lowest, highest = int(grey.min()), int(grey.max())
    if lowest == highest:
        raise PixelError(f"{sop_instance_uid}: what is left after the crop has one single value")
    levels = np.arange(np.iinfo(grey.dtype).max + 1, dtype=np.float32) - np.float32(lowest)
    levels = levels / np.float32(highest - lowest)
    table = (levels - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
    normalised: NDArray[np.float32] = table.astype(np.float32)[grey]
    return normalised


def _runs_of(indices: NDArray[np.intp]) -> Runs:
    parts: list[NDArray[Any]] = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
    return tuple((int(part[0]), int(part[-1]) + 1) for part in parts)


def _total(runs: Runs) -> int:
    return sum(stop - start for start, stop in runs)


def _spread(positions: NDArray[np.float64], runs: Runs) -> NDArray[np.float64]:
    """Map positions along the joined runs to source positions."""
    lengths = np.array([stop - start for start, stop in runs], dtype=np.float64)
    joined_starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    run = np.searchsorted(joined_starts[1:], positions, side="right")
    starts = np.array([start for start, _ in runs], dtype=np.float64)
    spread: NDArray[np.float64] = starts[run] + positions - joined_starts[run]
    return spread


def _gather(positions: NDArray[np.float64], runs: Runs) -> NDArray[np.float64]:
    """Map source positions to positions along the joined runs."""
    if len(runs) == 1:
        return positions - runs[0][0]
    knots = [float(edge) for run in runs for edge in run]
    lengths = [stop - start for start, stop in runs]
    values = np.repeat(np.concatenate([[0], np.cumsum(lengths)]), 2)[1:-1]
    return np.interp(positions, knots, values.astype(np.float64))
