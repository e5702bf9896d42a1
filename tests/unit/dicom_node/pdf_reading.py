"""Pages to print, read without the library that wrote them."""

import base64
import re
import zlib
from collections.abc import Iterator

from pydicom.dataset import Dataset

_STREAM = re.compile(rb"<<((?:(?!endobj).)*?)>>\s*stream\r?\n(.*?)endstream", re.DOTALL)
_SHOWN_TEXT = re.compile(rb"\(((?:\\.|[^\\()])*)\)\s*Tj")
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)")


def pdf_in(report: Dataset) -> bytes:
    return report.EncapsulatedDocument[: report.EncapsulatedDocumentLength]


def streams(pdf: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield dictionary and content of each stream, out of its text form (PDF 32000-1, 7.4)."""
    for match in _STREAM.finditer(pdf):
        described, content = match.groups()
        if b"ASCII85Decode" in described:
            content = base64.a85decode(content.strip().removesuffix(b"~>"))
        if b"FlateDecode" in described:
            content = zlib.decompress(content)
        yield described, content


def text_of(pdf: bytes) -> str:
    return " ".join(
        _ESCAPED.sub(
            lambda found: (
                bytes([int(found[1], 8)]) if found[1].isdigit() and len(found[1]) == 3 else found[1]
            ),
            shown,
        ).decode("latin-1")
        for _, content in streams(pdf)
        for shown in _SHOWN_TEXT.findall(content)
    )
