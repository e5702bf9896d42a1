"""How large the text of a picture is and where it stands, so that it is read on a shared screen."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dicom_node.objects.drawing.lettering import LEAST_TEXT
from dicom_node.objects.drawing.panel import Panel

QUARTER: Final = (456, 600)
"""Rows and columns of a viewport, one of four, on a screen of 1600 x 1000; OHIF leaves more."""

WHOLE: Final = (912, 1200)
"""Rows and columns of the only viewport on such a screen."""

_TEXT_ON_SCREEN: Final = 16.0
"""Text size in pixels of the screen: its capitals are 11 pixels high."""

_PANEL_WIDTHS: Final = np.arange(11.0, 25.0, 0.5)
"""Widths of a panel beside the image that are tried, in units of the text size."""

_MOST_WORDS: Final = 0.75
"""Share of the viewport's height that words above and below may take: the image needs the rest."""

_MOST_HEIGHT: Final = 2.0
"""Height of text that does not fit into the viewport, in heights of the viewport."""

_PLEASANT: Final = 16.0
"""The width that is taken where several leave the image as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the text of a picture stands.

    Attributes
    ----------
    text : pixels of the picture
    panel_columns : pixels of the picture
        Width of the panel beside the image; 0 where the text stands above and below it.
    strip_columns : pixels of the picture
        Least width where the text stands above and below.
    """

    text: int
    panel_columns: int
    strip_columns: int


def layout_of(
    size: tuple[int, int],
    whole: Panel,
    viewport: tuple[int, int],
    strips: tuple[Panel, Panel] | None = None,
) -> Layout:
    """Find where text leaves an image largest when the picture fills a viewport.

    Parameters
    ----------
    size : (rows, columns) of the image
    whole : all text, for a place beside the image
    viewport : (rows, columns) of the screen in which the text must be legible
    strips : the same text for places above and below it; None if it must stand beside it
    """
    high, wide = viewport
    beside = _beside(size, whole, viewport)
    across = wide / _TEXT_ON_SCREEN
    needed = sum(strip.height(across) for strip in strips or ()) * _TEXT_ON_SCREEN
    fits = [beside]
    if strips and needed < _MOST_WORDS * high:
        rows, columns = size
        fits.append((1.0, min(wide / columns, (high - needed) / rows), 0.0, 0.0))
    share, scale, _, width = max(fits)
    # Text that fits by less than half is read by enlarging it: it need not make the picture huge.
    text = max(LEAST_TEXT, round(_TEXT_ON_SCREEN / scale * min(1.0, _MOST_HEIGHT * share)))
    return Layout(
        text=text,
        panel_columns=round(width * text),
        strip_columns=0 if width else round(across * text),
    )


_Fit = tuple[float, float, float, float]
"""How much of the text fits, scale of the image, distance from a pleasant width, width."""


def _beside(size: tuple[int, int], whole: Panel, viewport: tuple[int, int]) -> _Fit:
    """Return the best place beside the image.

    The scale follows from a width alone. The text is set in widths of the largest scale first,
    and in none that is narrower than one in which it did not fit: to set it is what takes time.
    """
    high, wide = viewport
    rows, columns = size
    by_scale = sorted(
        (
            (
                min((wide - width * _TEXT_ON_SCREEN) / columns, high / rows),
                -abs(width - _PLEASANT),
                width,
            )
            for width in map(float, _PANEL_WIDTHS)
        ),
        reverse=True,
    )
    too_narrow = 0.0
    for scale, pleasant, width in by_scale:
        if width > too_narrow:
            if whole.height(width) * _TEXT_ON_SCREEN <= high:
                return 1.0, scale, pleasant, width
            too_narrow = width
    return max(
        (high / (whole.height(width) * _TEXT_ON_SCREEN), scale, pleasant, width)
        for scale, pleasant, width in by_scale
    )
