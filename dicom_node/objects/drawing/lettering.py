"""Text, rules and the colour legend of pictures, all measured in units of their text size."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dicom_node.facts.own_result import MODEL_NAME
from dicom_node.objects.drawing.overlay import PictureStyle, color_of
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.wording import RESEARCH_MARK, to_ascii

BACKGROUND: Final[RGB] = (10, 12, 15)
TEXT: Final[RGB] = (232, 236, 240)
DIM: Final[RGB] = (146, 154, 164)
RULE: Final[RGB] = (44, 50, 58)
MARK: Final[RGB] = (255, 190, 92)
WARNING: Final[RGB] = (255, 122, 108)

ATTENTION_REMARK: Final = (
    "Color and outlines show where the model looked, not the border of a lesion."
)

_LEAST_TEXT: Final = 15
_MOST_TEXT: Final = 30
_LEGEND: Final = "model attention, relative to this image"

Line = tuple[str, RGB]


class Lettering:
    """How text is set in a picture of a given width."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.text = min(max(columns // 52, _LEAST_TEXT), _MOST_TEXT)
        self.margin = self.text
        self.leading = round(1.5 * self.text)
        self.small = max(_LEAST_TEXT - 1, round(0.85 * self.text))

    def head(self, title: str, identity: ResultIdentity, scores: Sequence[str] = ()) -> Image.Image:
        """Draw the strip above: what this is, that it is not for diagnosis, and scores."""
        title_font = font(round(1.9 * self.text))
        title_width = round(title_font.getlength(title))
        beside = self.margin + title_width + 2 * self.text
        width = self.columns - self.margin - beside
        lines: list[Line] = [(RESEARCH_MARK, MARK)]
        lines += [(line, WARNING) for line in self.wrapped(to_ascii(identity.warning), width)]
        lines += [(line, TEXT) for score in scores for line in self.wrapped(score, width)]
        strip = self.strip(max(len(lines) * self.leading, round(1.9 * self.text)))
        draw = ImageDraw.Draw(strip)
        draw.text((self.margin, strip.height // 2), title, TEXT, title_font, anchor="lm")
        top = (strip.height - len(lines) * self.leading) // 2
        self.write(draw, lines, self.columns - self.margin, top, self.text, anchor="rm")
        draw.line(
            [(0, strip.height - 1), (self.columns, strip.height - 1)],
            RULE,
            max(1, self.text // 12),
        )
        return strip

    def write(
        self,
        draw: ImageDraw.ImageDraw,
        lines: list[Line],
        left: int,
        top: int,
        size: int,
        *,
        anchor: str = "lm",
    ) -> None:
        """Write lines below each other."""
        for number, (text, color) in enumerate(lines):
            middle = top + round((number + 0.5) * self.leading)
            draw.text((left, middle), text, color, font(size), anchor=anchor)

    def wrapped(self, text: str, width: int) -> list[str]:
        """Break a text into lines that fit."""
        lines: list[str] = []
        own = font(self.text)
        for word in text.split():
            if lines and own.getlength(f"{lines[-1]} {word}") <= width:
                lines[-1] = f"{lines[-1]} {word}"
            else:
                lines.append(word)
        return lines

    def strip(self, content_height: int) -> Image.Image:
        """Return an empty strip over the whole width."""
        return Image.new("RGB", (self.columns, content_height + 2 * self.margin), BACKGROUND)

    def legend(self, strip: Image.Image, top: int, style: PictureStyle) -> None:
        """Draw the colour bar with its ticks at the right edge."""
        draw = ImageDraw.Draw(strip)
        width, height = 13 * self.text, round(0.7 * self.text)
        left = self.columns - self.margin - width
        draw.text(
            (self.columns - self.margin, top + self.leading // 2),
            _LEGEND,
            TEXT,
            font(self.small),
            anchor="rm",
        )
        heat = np.tile(np.linspace(0.0, 1.0, width, dtype=np.float32), (height, 1))
        bar_top = top + self.leading + self.text // 4
        strip.paste(Image.fromarray(color_of(heat, style)), (left, bar_top))
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = left + round(tick * (width - 1))
            draw.line([(x, bar_top + height), (x, bar_top + height + self.text // 4)], DIM)
            draw.text(
                (x, bar_top + height + self.text // 3),
                f"{tick:g}",
                DIM,
                font(round(0.7 * self.text)),
                anchor={0.0: "la", 1.0: "ra"}.get(tick, "ma"),
            )


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all pictures."""
    made = ImageFont.load_default(size)
    assert isinstance(made, ImageFont.FreeTypeFont)
    return made


def model_line(identity: ResultIdentity) -> str:
    """Name weights, software and revision."""
    bundle = identity.bundle
    return to_ascii(
        f"Model {bundle.name} {bundle.version} ({bundle.permitted_use}), "
        f"{MODEL_NAME} {identity.software_version}, rev {identity.revision}"
    )
