"""The fonts of the page to print, which it carries with it, and what they can print."""

import unicodedata
from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any, Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

REGULAR: Final = "DejaVuSans"
BOLD: Final = "VeraBd"
"""Of the same family; it comes with reportlab and prints the page's own words, which are ASCII."""

NOT_PRINTABLE: Final = "(in a script that this page cannot print)"


@lru_cache(maxsize=1)
def register_fonts() -> Any:
    """Make the fonts known to reportlab; returns the regular one."""
    with as_file(files(__package__) / "fonts" / "DejaVuSans.ttf") as path:
        regular = TTFont(REGULAR, str(path))
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(TTFont(BOLD, "VeraBd.ttf"))
    return regular


def printable(text: str) -> str | None:
    """Return a text as the regular font prints it, or None where it cannot.

    Latin, Greek and Cyrillic are printed. What is written from the right, or of signs that the
    font lacks, is not: letters in a wrong order would be another name.
    """
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    glyphs = register_fonts().face.charToGlyph
    for character in composed:
        if ord(character) not in glyphs:
            return None
        if unicodedata.bidirectional(character) in {"R", "AL", "AN"}:
            return None
        if unicodedata.combining(character):
            return None
    return composed
