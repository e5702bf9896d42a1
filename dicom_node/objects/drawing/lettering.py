"""Text of pictures: its font, its colours, and lines that fit, measured in units of its size."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from dicom_node.facts.own_result import MODEL_NAME
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.terms.wording import to_ascii

BACKGROUND: Final[RGB] = (10, 12, 15)
TEXT: Final[RGB] = (232, 236, 240)
DIM: Final[RGB] = (146, 154, 164)
RULE: Final[RGB] = (44, 50, 58)
MARK: Final[RGB] = (255, 190, 92)
WARNING: Final[RGB] = (255, 122, 108)

ATTENTION_REMARK: Final = (
    "Color and outlines show where the model looked, not the border of a lesion."
)

LEADING: Final = 1.3
"""Distance of two lines, in units of their text size."""

SMALL: Final = 0.8
"""Size of what need not be read from afar, in units of the text size."""

LEAST_TEXT: Final = 15
"""Smallest text in pixels: below it the font's letters run together."""

_NAME_LENGTH: Final = 64
"""Letters of a name of the bundle, as the attributes for it hold."""

_LEFT_FREE: Final = 0.4

_MEASURED_AT: Final = 100

_NARROWEST: Final = 0.17
"""Width of the narrowest letter, in units of the text size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Text that is broken into lines.

    Attributes
    ----------
    size, gap : units of the picture's text size
        Size of the letters; space that is left free above.
    at_right : whether its lines end at the right edge
        They then leave `_LEFT_FREE` of the width free at the left, but for a longer word.
    """

    text: str
    color: RGB = TEXT
    size: float = 1.0
    gap: float = 0.0
    at_right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a paragraph, as it is written.

    Attributes
    ----------
    top : units of the picture's text size
        Upper edge of the line, from the upper edge of the first one.
    left : units of the picture's text size
        Where the line begins, from the left edge of all lines.
    """

    text: str
    color: RGB
    size: float
    top: float
    left: float = 0.0


def set_lines(paragraphs: Sequence[Paragraph], width: float) -> tuple[list[Line], float]:
    """Break paragraphs into lines below each other.

    Parameters
    ----------
    width : units of the text size

    Returns
    -------
    list of Line, float
        The lines, and the height of all of them in units of the text size.
    """
    lines = []
    top = 0.0
    for paragraph in paragraphs:
        top += paragraph.gap
        across = width / paragraph.size
        filled = (1 - _LEFT_FREE) * across if paragraph.at_right else across
        for text in wrapped(paragraph.text, across, filled):
            free = max(0.0, width - width_of(text) * paragraph.size) if paragraph.at_right else 0.0
            lines.append(
                Line(text=text, color=paragraph.color, size=paragraph.size, top=top, left=free)
            )
            top += LEADING * paragraph.size
    return lines, top


def write_lines(
    draw: ImageDraw.ImageDraw, lines: Sequence[Line], left: int, top: int, text: int
) -> None:
    """Write lines of a text size in pixels."""
    for line in lines:
        middle = top + (line.top + LEADING * line.size / 2) * text
        mask, (right, down) = _letters(line.text, round(line.size * text))
        first = left + round(line.left * text)
        draw.bitmap((first + right, round(middle) + down), mask, line.color)


@lru_cache(maxsize=64)
def _letters(text: str, size: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return a line in its shape, and where its corner is from the middle of its left end.

    Most of the lines of a picture stand on all pictures of a study.
    """
    own = font(size)
    left, top, right, bottom = (math.floor(edge) for edge in own.getbbox(text, anchor="lm"))
    mask = Image.new("L", (max(1, right - left + 1), max(1, bottom - top + 1)))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, own, anchor="lm")
    # In small sizes letters stand on whole pixels: dozens of wide ones are wider than measured.
    width = math.ceil(width_of(text) * size) + size // 2
    if mask.width > width:
        mask = mask.resize((width, mask.height))
    return mask, (left, top)


def wrapped(text: str, width: float, filled: float | None = None) -> list[str]:
    """Break a text into lines of a width in units of its size; a longer word is broken, too.

    Parameters
    ----------
    filled : units of the size
        How far several words fill a line, if not to its end.
    """
    filled = width if filled is None else filled
    lines: list[str] = []
    for word in _words(text, width):
        if lines and width_of(f"{lines[-1]} {word}") <= filled:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=4096)
def width_of(text: str) -> float:
    """Return the width of a text in units of its size."""
    return font(_MEASURED_AT).getlength(text) / _MEASURED_AT


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all pictures."""
    made = ImageFont.load_default(size)
    assert isinstance(made, ImageFont.FreeTypeFont)
    return made


def model_line(identity: ResultIdentity) -> str:
    """Name weights and software."""
    bundle = identity.bundle
    words = (bundle.name, bundle.version, f"({bundle.permitted_use}")
    name, model_version, use = (to_ascii(text, _NAME_LENGTH) for text in words)
    return to_ascii(
        f"Model {name} {model_version} {use}), {MODEL_NAME} {identity.software_version}"
    )


def _words(text: str, width: float) -> Iterator[str]:
    # No more of a word is measured than a line can hold: some have thousands of letters.
    most = max(1, int(width / _NARROWEST))
    for word in text.split():
        if len(word) <= most and width_of(word) <= width:
            yield word
            continue
        rest = word
        while rest:
            end = min(len(rest), most)
            while end > 1 and width_of(rest[:end]) > width:
                end -= 1
            yield rest[:end]
            rest = rest[end:]
