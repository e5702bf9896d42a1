"""Names of pictures: readable where an identifier may be a file's name, a digest where not."""

import hashlib
import re
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGITS: Final = 20

DICOM_ENDINGS: Final = (".dcm", ".dicom", ".dic")
_ENDINGS: Final = (*DICOM_ENDINGS, ".png")


def stem_of(name: str) -> str:
    """Return the last part of a name without the ending of an image's file.

    A UID's last component is no ending: only known ones are cut off.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    for ending in _ENDINGS:
        if last.lower().endswith(ending):
            return last[: -len(ending)]
    return last


def image_path(group: str, image_id: str) -> str:
    """Return where a picture lies below the folder of pictures, as ``group/image_id.png``.

    What a table or a header says never leads out of that folder: an identifier that is no plain
    word stands there as a digest.
    """
    return f"{_plain(group)}/{_plain(stem_of(image_id))}.png"


def _plain(identifier: str) -> str:
    if _PLAIN.fullmatch(identifier) and not identifier.lower().endswith(".part"):
        return identifier
    return f"x{hashlib.sha256(identifier.encode()).hexdigest()[:_DIGITS]}"
