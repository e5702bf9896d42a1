"""A new array on disk that is mapped into memory, with all the room that it will take."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from training.whole_file import naming


def new_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> Any:
    """Write an array of zeros, and return it mapped for writing.

    Its room on the disk is taken at once: a mapped file that finds none later ends the process
    without a word.

    Raises
    ------
    OSError
        The disk is full.
    """
    with naming(path):
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array
