"""From stored values to display values, through the look-up tables of the standard."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.stored_image import LookUpTable, StoredImage, Window

LEVELS: Final = 65536

_LEAST_CONTRAST: Final = 0.02
"""A window that leaves less than this between darkest and lightest pixel is not applied."""


def to_display(image: StoredImage) -> NDArray[np.uint16]:
    """Show an image as its header asks: 16 bits, air dark, padding 0.

    Modality LUT or rescale, VOI LUT or window, polarity, in this order. Where the header asks for
    no window, or for one that leaves no contrast, the measured values are spread over the scale.

    Returns
    -------
    (rows, columns) uint16
        All 0 where every pixel is padding or has the same value.

    References
    ----------
    PS3.3 C.11.1, C.11.2 and C.11.6; PS3.4 N.2.1 (the order of the steps).
    """
    lowest, highest = int(image.values.min()), int(image.values.max())
    stored = np.arange(lowest, highest + 1, dtype=np.int64)
    # A table over the bit patterns costs one look-up a pixel, whatever the header asks for.
    patterns = image.values.view(f"u{image.values.dtype.itemsize}")
    places = stored.astype(image.values.dtype).view(patterns.dtype)
    seen = np.zeros(1 << (8 * patterns.dtype.itemsize), np.bool_)
    seen[patterns] = True
    padding = image.display.padding
    is_padding = np.zeros(len(stored), np.bool_)
    if padding is not None:
        is_padding = (stored >= padding[0]) & (stored <= padding[1])
    occurs = seen[places] & ~is_padding
    shown = displayed(image, stored, occurs)
    shown[is_padding] = 0.0
    levels = np.zeros(len(seen), np.uint16)
    levels[places] = np.rint(shown * (LEVELS - 1)).astype(np.uint16)
    picture: NDArray[np.uint16] = levels[patterns]
    return picture


def displayed(
    image: StoredImage, stored: NDArray[np.int64], occurs: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Map stored values to [0, 1], air dark.

    Parameters
    ----------
    stored : (n,) values
    occurs : (n,) bool
        Which of them are measured in the image: a scale without a window is fitted to them.
    """
    header = image.display
    if header.modality_table is not None:
        values = _looked_up(header.modality_table, stored.astype(np.float64))
    else:
        values = stored.astype(np.float64) * image.rescale_slope + image.rescale_intercept
    shown: NDArray[np.float64] | None = None
    if header.voi_table is not None:
        highest = max((1 << header.voi_table.bits) - 1, int(header.voi_table.entries.max()), 1)
        shown = _looked_up(header.voi_table, values) / float(highest)
    elif header.window is not None:
        shown = windowed(values, header.window)
    if shown is None or not _has_contrast(shown[occurs]):
        shown = _spread(values, occurs)
    if header.is_inverted or image.photometric_interpretation == "MONOCHROME1":
        shown = 1.0 - shown
    return shown


def windowed(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Apply one window to modality values; [0, 1] (PS3.3 C.11.2.1.2.1, C.11.2.1.3)."""
    if window.function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - window.center) / window.width, -700.0, 700.0)
        sigmoid: NDArray[np.float64] = 1.0 / (1.0 + np.exp(exponent))
        return sigmoid
    exact = window.function == "LINEAR_EXACT"
    center, width = (
        (window.center, window.width) if exact else (window.center - 0.5, window.width - 1.0)
    )
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def _has_contrast(shown: NDArray[np.float64]) -> bool:
    return bool(shown.size and np.ptp(shown) >= _LEAST_CONTRAST)


def _looked_up(table: LookUpTable, values: NDArray[np.float64]) -> NDArray[np.float64]:
    last = len(table.entries) - 1
    places = np.clip(np.rint(values) - table.first, 0, last).astype(np.int64)
    entries: NDArray[np.float64] = table.entries[places].astype(np.float64)
    return entries


def _spread(values: NDArray[np.float64], occurs: NDArray[np.bool_]) -> NDArray[np.float64]:
    measured: NDArray[Any] = values[occurs]
    if not measured.size or measured.min() == measured.max():
        return np.zeros(len(values))
    low, high = measured.min(), measured.max()
    spread: NDArray[np.float64] = np.clip((values - low) / (high - low), 0.0, 1.0)
    return spread
