"""Gives finished files their names, so that they are there whole or not at all."""

import os
from pathlib import Path


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
