"""Memory that a process which decodes fills and this one reads, without a copy between them.

To have memory costs more than to fill it: a block is used again once no array shows it.
"""

import fcntl
import mmap
import os
import threading
import weakref
from typing import Final

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES: Final = 256 * 2**20
"""Most memory that waits for the next images."""

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class ImageMemory:
    """Blocks of memory behind descriptors, which other processes can be given.

    Parameters
    ----------
    kept_bytes : 0 or more
        Most memory of free blocks; what is beyond is returned to the system.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._free: list[int] = []
        self._lock = threading.Lock()

    def take(self) -> int:
        """Return the descriptor of a block that nobody uses; it grows as it is filled."""
        with self._lock:
            if self._free:
                return self._free.pop()
        block = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # Memory that shrinks while it is read would end this process.
        fcntl.fcntl(block, fcntl.F_ADD_SEALS, _SEALS)
        return block

    def show(self, block: int) -> NDArray[np.uint8]:
        """Return what a block holds, read-only; it is given back when no array shows it.

        Raises
        ------
        ValueError
            It holds nothing.
        """
        size = os.fstat(block).st_size
        if size == 0:
            self.give_back(block)
            raise ValueError("the memory holds no image")
        shared = mmap.mmap(block, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)
        weakref.finalize(shared, self.give_back, block).atexit = False
        return np.frombuffer(shared, np.uint8)

    def give_back(self, block: int) -> None:
        """Keep a block for another image, if that is not too much memory."""
        with self._lock:
            kept = sum(os.fstat(one).st_size for one in (*self._free, block))
            if kept <= self._kept_bytes:
                self._free.append(block)
                return
        os.close(block)

    def close(self) -> None:
        """Return the memory of free blocks to the system."""
        with self._lock:
            free, self._free = self._free, []
        for block in free:
            os.close(block)
