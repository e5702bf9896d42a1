"""What a training depends on of its data, in digests: a run on other data is not taken up."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import Preprocessing

_THREADS: Final = 8


def facts_of_data(files: Sequence[Path], said: Any, preprocessing: Preprocessing) -> dict[str, str]:
    """Return what pictures show, what is said of them, and how a model is shown them.

    Not by which tables and mapping it is said, nor where the pictures lie.

    Parameters
    ----------
    said : labels, boxes, patients and parts, as JSON can hold them, in the order of the pictures

    Raises
    ------
    OSError
        A picture cannot be read.
    """
    return {
        "pictures": contents_sha256(files),
        "labels, patients or parts": _sha256(json.dumps(said)),
        "preprocessing": json.dumps(asdict(preprocessing)),
    }


def contents_sha256(files: Sequence[Path]) -> str:
    """Condense what files hold, in their order, to 64 hexadecimal digits; raises OSError.

    Not their names and times: a picture that was made again, or was put elsewhere, is known.
    """
    return _sha256("".join(content_digests(files)))


def content_digests(files: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file; one that nobody writes to is read once by a process.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(_content_sha256, files))


def _content_sha256(file: Path) -> str:
    status = file.stat()
    # Whoever writes to a file, or sets its times back, changes when it was changed.
    return _read_sha256(file, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@cache
def _read_sha256(file: Path, *_state: int) -> str:
    return file_sha256(file)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
