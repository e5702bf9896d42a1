"""The folder of one run, so that runs do not disturb each other and leave nothing behind."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "run-"
_LOCK: Final = "run.lock"
_FAILED: Final = "FAILED"
_KEPT_FAILURES: Final = 3


@contextmanager
def workplace(root: Path) -> Iterator[Path]:
    """Make a folder for one run under `root`, and clear away those of runs that are over.

    The folder stays for a look at its logs until the next run begins; those of the last three
    runs that failed stay longer.
    """
    root.mkdir(parents=True, exist_ok=True)
    _clear(root)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        except BaseException:
            (folder / _FAILED).touch()
            raise


def _clear(root: Path) -> None:
    finished = [folder for folder in root.glob(f"{_PREFIX}*") if _is_over(folder)]
    failures = sorted(
        (folder for folder in finished if (folder / _FAILED).exists()),
        key=lambda folder: (folder / _FAILED).stat().st_mtime,
    )
    for folder in set(finished) - set(failures[-_KEPT_FAILURES:]):
        shutil.rmtree(folder, ignore_errors=True)


def _is_over(folder: Path) -> bool:
    """Tell whether nobody holds a run's lock any more, however the run ended."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
