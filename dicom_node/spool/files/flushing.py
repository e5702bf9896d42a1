"""Flushes folders to disk: a file's name in one is safe only then."""

import os
from pathlib import Path


def flush_folder(folder: Path) -> None:
    """Flush a folder to disk, so that new and renamed files in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
