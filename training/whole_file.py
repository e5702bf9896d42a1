"""Files that are there whole or not at all, and are named where the disk does not take them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final

UNFINISHED: Final = ".part"
"""End of the name that a file has until it is whole."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name when all went well; its folder is made.

    Until then, and where anything fails, a former file of that name stays as it is.

    Raises
    ------
    OSError
        The disk is full or the like; it names the file, whatever library was writing.
    """
    making = path.with_name(path.name + UNFINISHED)
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with making.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            making.replace(path)
    except BaseException:
        making.unlink(missing_ok=True)  # it would take room that the disk has not
        raise


def require_writable(folder: Path) -> None:
    """Make a folder and try to write into it, before what is to be written there takes hours.

    Raises
    ------
    OSError
        The disk refuses; it names the folder.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass


def write_whole(path: Path, text: str) -> None:
    """Write a text as UTF-8, as `whole_file` does."""
    with whole_file(path) as stream:
        stream.write(text.encode())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give what the disk refuses the name of the file, which Python leaves out on writing.

    Raises
    ------
    OSError
        In place of torch's RuntimeError, too, which hides it, and of pydicom's without a number.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        refused = _refusal(error)
        if refused is None:
            raise
        raise OSError(refused.errno, refused.strerror, str(path)) from error


def _refusal(error: BaseException | None) -> OSError | None:
    """Return what the system said, which libraries raise errors of their own about."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error = error.__context__
    return None
