"""From stored values to the 8-bit picture that a viewer would show, at a bounded size."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from highdicom.pixels import apply_lut, apply_voi_window
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.drawing.reduction import reduced
from dicom_node.objects.drawing.tissue import Tissue
from mammoclip_core.images.header.display_header import look_up_table_of
from mammoclip_core.images.header.header_numbers import number_of
from mammoclip_core.images.header.pixel_spacing import pixel_aspect_of
from mammoclip_core.images.stored_image import LookUpTable

_FUNCTIONS: Final = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
_PERCENTILES: Final = (0.5, 99.8)
_LEAST_CONTRAST: Final = 0.02
"""A window that leaves less than this between darkest and lightest pixel is not to be trusted."""

_PLACE_BYTES: Final = 2

_BAND_ROWS: Final = 128

_RESIZABLE: Final = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.int16))
"""What OpenCV scales as it is; other integers are scaled as float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplayPicture:
    """An image as it looks: grey, air dark, with the way from source pixels to its own.

    Attributes
    ----------
    pixels : (rows, columns) uint8
    column_scale, row_scale : pixels of the picture for one of the source, at most 1
    tissue : where on it the breast is, known to all sizes of the picture when one has asked
    """

    pixels: NDArray[np.uint8]
    column_scale: float
    row_scale: float
    tissue: Tissue = field(default_factory=Tissue)

    def within(self, rows: int, columns: int) -> "DisplayPicture":
        """Return the picture scaled down until it fits."""
        own_rows, own_columns = self.pixels.shape
        size = _size_within((own_rows, own_columns), (rows, columns))
        if size == (own_rows, own_columns):
            return self
        return DisplayPicture(
            pixels=np.asarray(reduced(self.pixels, size), dtype=np.uint8),
            column_scale=self.column_scale * size[1] / own_columns,
            row_scale=self.row_scale * size[0] / own_rows,
            tissue=self.tissue,
        )


def show(source: Dataset, stored: NDArray[Any], long_side: int | None = None) -> DisplayPicture:
    """Show stored values in square pixels as a viewer does, by Modality LUT, VOI LUT and polarity.

    A window that cannot be applied, or leaves no contrast, is replaced by one that fits the
    values: the picture is there to be recognised, not to be read. A large image is scaled down
    first, since all that follows takes as much time and memory as it has pixels.

    Parameters
    ----------
    stored : (rows, columns) integers
        Decoded stored values of one frame.
    long_side : pixels
        Of the picture, at most; None for the size of the image, of which no pixel is invented
        where they are not square.

    Raises
    ------
    ObjectRefusedError
        The values are not those of one monochrome frame of this source.

    References
    ----------
    PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (MONOCHROME1).
    """
    size = (int(source.Rows), int(source.Columns))
    if stored.shape != size:
        raise ObjectRefusedError(
            f"instance {source.SOPInstanceUID} has Rows and Columns {size}, "
            f"its pixels are {stored.shape}"
        )
    padding = _padding_of(source, stored)
    square = _square_size(source)
    limit = max(square) if long_side is None else long_side
    stored, padding = _reduced(
        stored, padding, _size_within(square, (limit, limit)), light_air=is_inverted(source)
    )
    levels, places = _levels_of(stored)
    shown = _levels_shown(source, levels, _counts_of(places, padding, len(levels)))
    # Half a grey more, so that cutting off the fraction rounds.
    greys = (np.clip(shown, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)).astype(np.uint8)
    pixels = _looked_up(greys, places)
    if padding is not None:
        pixels[padding] = 0
    return DisplayPicture(
        pixels=pixels,
        column_scale=stored.shape[1] / size[1],
        row_scale=stored.shape[0] / size[0],
    )


def _levels_of(stored: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Return the values from the lowest to the highest, and the place among them of each pixel.

    What is shown follows from the value alone: it is computed for each of at most 65536 values
    instead of for millions of pixels.

    Returns
    -------
    (n,) integers or float32, (rows, columns) uint16
        Values in equal steps: each whole number where there are no more of them than places.
    """
    lowest, highest = stored.min(), stored.max()
    span = float(highest) - float(lowest)
    if stored.dtype.itemsize <= _PLACE_BYTES and stored.dtype.kind in "iu":
        levels = np.arange(int(lowest), int(highest) + 1, dtype=np.int32)
        return levels, (stored - lowest).astype(np.uint16, copy=False)
    last = (1 << 8 * _PLACE_BYTES) - 1
    step = max(span / last, 1.0)
    places = np.rint((stored.astype(np.float64) - float(lowest)) / step).astype(np.uint16)
    whole = np.rint(float(lowest) + step * np.arange(round(span / step) + 1))
    return whole.astype(np.float32), places


def _counts_of(
    places: NDArray[np.uint16], padding: NDArray[np.bool_] | None, levels: int
) -> NDArray[np.float32]:
    """Return how many pixels each level has, padding left out."""
    measured = None if padding is None else (~padding).view(np.uint8)
    counts = cv2.calcHist([places], [0], measured, [levels], [0.0, float(levels)])
    return np.asarray(counts, dtype=np.float32).ravel()


def _looked_up(greys: NDArray[np.uint8], places: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the grey of each pixel; by bands, since numpy widens the places of a band."""
    pixels = np.empty(places.shape, dtype=np.uint8)
    for start in range(0, len(places), _BAND_ROWS):
        band = slice(start, start + _BAND_ROWS)
        np.take(greys, places[band], out=pixels[band])
    return pixels


def _levels_shown(
    source: Dataset, levels: NDArray[Any], counts: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the greys of values, about [0, 1], air dark."""
    values = _modality_values(source, levels)
    shown = _through_lut(source, values)
    if shown is None:
        shown = _through_window(source, values)
    occurs = counts > 0
    if shown is None or not occurs.any() or np.ptp(shown[occurs]) < _LEAST_CONTRAST:
        shown = _fitted(values, counts, lightest_first=is_inverted(source))
    return np.float32(1.0) - shown if is_inverted(source) else shown


def _reduced(
    stored: NDArray[Any],
    padding: NDArray[np.bool_] | None,
    size: tuple[int, int],
    *,
    light_air: bool,
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Scale stored values down by the mean over each new pixel, padding left out of it."""
    if size == stored.shape:
        return stored, padding
    if padding is not None:
        inside = stored[~padding]
        air = (inside.max() if light_air else inside.min()) if inside.size else 0
        stored = np.where(padding, air, stored)
        padding = reduced(padding.view(np.uint8), size).view(np.bool_)
    if stored.dtype not in _RESIZABLE:
        stored = stored.astype(np.float32)
    return reduced(stored, size), padding


def _square_size(source: Dataset) -> tuple[float, float]:
    """Return rows and columns of the image in square pixels, of which none is invented."""
    aspect = float(pixel_aspect_of(source))
    return source.Rows * min(1.0, aspect), source.Columns * min(1.0, 1.0 / aspect)


def _size_within(size: tuple[float, float], limit: tuple[float, float]) -> tuple[int, int]:
    rows, columns = size
    scale = min(1.0, limit[0] / rows, limit[1] / columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def window_of(source: Dataset) -> tuple[float, float, str] | None:
    """Return centre, width and function of an image's first window, or None if it has none."""
    center = number_of(source, "WindowCenter", math.nan)
    width = number_of(source, "WindowWidth", math.nan)
    function = str(source.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in _FUNCTIONS:
        function = "LINEAR"
    least_width = 1.0 if function == "LINEAR" else 0.0
    if not (math.isfinite(center) and math.isfinite(width) and width > least_width):
        return None
    return center, width, function


def is_inverted(source: Dataset) -> bool:
    """Tell whether the lowest values are shown lightest."""
    photometric = source.get("PhotometricInterpretation")
    return bool(photometric == "MONOCHROME1" or source.get("PresentationLUTShape") == "INVERSE")


def table_of(source: Dataset, keyword: str) -> LookUpTable | None:
    """Read the first table of a sequence as the model's images are shown by it, if there is one.

    Vendors give tables of 10 to 16 bits, which highdicom 0.28 refuses to read.
    """
    return look_up_table_of(
        source, keyword, signed=number_of(source, "PixelRepresentation", 0) == 1
    )


def _modality_values(source: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    table = table_of(source, "ModalityLUTSequence")
    if table is not None:
        return np.asarray(apply_lut(stored.astype(np.int32), table.entries, table.first))
    slope = number_of(source, "RescaleSlope", 1.0)
    intercept = number_of(source, "RescaleIntercept", 0.0)
    if (slope, intercept) == (1.0, 0.0) or slope == 0.0:
        return stored
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _through_lut(source: Dataset, values: NDArray[Any]) -> NDArray[np.float32] | None:
    table = table_of(source, "VOILUTSequence")
    if table is None:
        return None
    shown = apply_lut(np.rint(values).astype(np.int32), table.entries, table.first)
    highest = max((1 << table.bits) - 1, int(table.entries.max()), 1)
    return np.asarray(shown / highest, dtype=np.float32)


def _through_window(source: Dataset, values: NDArray[Any]) -> NDArray[np.float32] | None:
    window = window_of(source)
    if window is None:
        return None
    center, width, function = window
    with np.errstate(over="ignore"):  # far below a sigmoid's centre its exponential is infinite
        shown = apply_voi_window(values, center, width, function, dtype=np.float32)
    return np.asarray(shown, dtype=np.float32)


def _fitted(
    values: NDArray[Any], counts: NDArray[np.float32], *, lightest_first: bool
) -> NDArray[np.float32]:
    """Spread the values of the breast over the grey scale, air and padding left out."""
    measured = values[counts > 0]
    air = measured.max(initial=0) if lightest_first else measured.min(initial=0)
    breast = (counts > 0) & (values != air)
    if not breast.any():
        return np.full(values.shape, 1.0 if lightest_first else 0.0, dtype=np.float32)
    low, high = (
        float(level)
        for level in np.percentile(
            values[breast],
            _PERCENTILES,
            weights=counts[breast].astype(np.float64),
            method="inverted_cdf",
        )
    )
    if high <= low:
        low, high = low - 1.0, high + 1.0
    shown = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.clip(shown, 0.0, 1.0), dtype=np.float32)


def _padding_of(source: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Find what surrounds the image and is no measurement (PS3.3 C.7.5.1.1.2); None if nothing."""
    value = source.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = source.get("PixelPaddingRangeLimit")
    low, high = sorted((value, limit if isinstance(limit, int) else value))
    return (stored >= low) & (stored <= high)
