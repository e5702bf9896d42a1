"""What stands in words beside an image or below it, with the legend of its colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from dicom_node.objects.drawing.heat_colors import HeatColors
from dicom_node.objects.drawing.lettering import (
    BACKGROUND,
    DIM,
    LEADING,
    RULE,
    SMALL,
    Paragraph,
    font,
    set_lines,
    write_lines,
)

MARGIN: Final = 0.8
"""Free space on each side, in units of the text size."""

FOOT: Final = 1.6
"""Free space below, where viewers write the number of an image."""

_LEGEND: Final = "model attention, relative to this image"
_BAR: Final = 0.8
_TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_LEGEND_HEIGHT: Final = _BAR + 0.3 + LEADING * SMALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Paragraphs, and below them the legend of the colours if colours are used.

    Attributes
    ----------
    foot : units of the text size
        Free space below.
    """

    paragraphs: Sequence[Paragraph]
    legend: HeatColors | None = None
    foot: float = FOOT

    def height(self, width: float) -> float:
        """Return the height with margins; all in units of the text size."""
        _, height = set_lines(self._all, width - 2 * MARGIN)
        return MARGIN + height + (_LEGEND_HEIGHT if self.legend else 0.0) + self.foot

    def drawn(self, text: int, columns: int, rows: int) -> Image.Image:
        """Draw the panel.

        Parameters
        ----------
        text : pixels
            Text size.
        columns, rows : pixels of the drawing; `rows` grows if the text needs more
        """
        width = columns / text
        rows = max(rows, round(self.height(width) * text))
        drawing = Image.new("RGB", (columns, rows), BACKGROUND)
        draw = ImageDraw.Draw(drawing)
        lines, height = set_lines(self._all, width - 2 * MARGIN)
        left = top = round(MARGIN * text)
        write_lines(draw, lines, left, top, text)
        if self.legend is not None:
            self._draw_legend(drawing, left, top + round(height * text), text)
        return drawing

    @property
    def _all(self) -> Sequence[Paragraph]:
        if self.legend is None:
            return self.paragraphs
        return (*self.paragraphs, Paragraph(text=_LEGEND, color=DIM, size=SMALL, gap=0.5))

    def _draw_legend(self, drawing: Image.Image, left: int, top: int, text: int) -> None:
        assert self.legend is not None
        draw = ImageDraw.Draw(drawing)
        width, height = drawing.width - 2 * left, round(_BAR * text)
        heat = np.tile(np.linspace(0.0, 1.0, width, dtype=np.float32), (height, 1))
        drawing.paste(Image.fromarray(self.legend.over_mid_grey(heat)), (left, top))
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=RULE)
        for tick in _TICKS:
            x = left + round(tick * (width - 1))
            draw.line([(x, top + height), (x, top + height + text // 4)], DIM)
            draw.text(
                (x, top + height + round(0.3 * text)),
                f"{tick:g}",
                DIM,
                font(round(SMALL * text)),
                anchor={0.0: "la", 1.0: "ra"}.get(tick, "ma"),
            )
