"""Gives finished files their names, so that they are there whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def put_in_place(part: Path, target: Path) -> None:
    """Give a file that was written under another name its own; no power cut takes it any more.

    Parameters
    ----------
    part : on the same disk
    """
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(target)
    folder = os.open(target.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name once all went well and something was written.

    Whether the disk takes it is tried at once, before what is to be written has been computed; its
    folder is made. Until the end a former file of the name stays as it is. What is no file of a
    disk, ``/dev/stdout`` or a pipe, is written as it comes.

    Raises
    ------
    OSError
        The disk refuses; it names the file.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        is_stream = target.exists() and not target.is_file()
        with (target if is_stream else part).open("wb") as stream:
            yield stream
        if not is_stream and part.stat().st_size:
            put_in_place(part, target)
    except OSError as error:
        if error.errno is None or error.filename not in {None, str(part)}:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        part.unlink(missing_ok=True)
