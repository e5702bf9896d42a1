"""The rights of an account that is not root's, for tests that root may run."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_VERSION_3: Final = 0x20080522
_DAC_OVERRIDE: Final = 1
_DAC_READ_SEARCH: Final = 2


@contextmanager
def any_account() -> Iterator[None]:
    """Let this thread read only what the permissions of files and folders allow it."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # Effective, permitted and inheritable, of the lower 32 capabilities and of the upper.
    before, fewer = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()

    def call(function: str, words: ctypes.Array[ctypes.c_uint32]) -> None:
        if getattr(libc, function)(header, words):
            raise OSError(ctypes.get_errno(), function)

    call("capget", before)
    call("capget", fewer)
    fewer[0] &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    call("capset", fewer)
    try:
        yield
    finally:
        call("capset", before)
