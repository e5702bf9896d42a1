"""How fast studies are retrieved: so many an hour, within hours that allow it."""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import ensure_private_file, make_lasting_folders

FOLDER: Final = "runs"
"""Folder of the spool, with one file for each archive."""

_LOOK_SECONDS: Final = 30.0
_LONGEST_TEXT: Final = 64


class Starts(Protocol):
    """When a study was begun last."""

    def space(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Wait until so many seconds have passed since the last start, and note this one."""


class StartsOfProcess:
    """The starts of this process alone."""

    def __init__(self) -> None:
        self._last: float | None = None

    def space(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Wait until so many seconds have passed since the last start, and note this one."""
        if self._last is not None:
            sleep(max(0.0, self._last + seconds - time.monotonic()))
        self._last = time.monotonic()


class StartsFile:
    """The starts of all runs from one archive, also of killed ones and of those at the same time.

    Parameters
    ----------
    root : folder of the spool
    archive : name of the destination
    """

    def __init__(self, root: Path, archive: str) -> None:
        self._file = root / FOLDER / f"{archive}.start"

    def space(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Wait until so many seconds have passed since the last start, and note this one.

        Raises
        ------
        OutOfResourcesError
            The disk cannot be written.
        """
        with disk_trouble():
            folder = self._file.parent
            make_lasting_folders(folder.parent, [folder])
            ensure_private_file(self._file)
            flush_folder(folder)
            file = self._file.open("r+b")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)  # whoever comes next waits for its turn here
            last = _time_in(file.read(_LONGEST_TEXT))
            if last is not None:
                # Where the clock was set back, the last start lies ahead: one wait is enough.
                sleep(min(seconds, max(0.0, last + seconds - time.time())))
            with disk_trouble():
                file.seek(0)
                file.truncate()
                file.write(repr(time.time()).encode())
                file.flush()
                os.fsync(file.fileno())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast studies are retrieved.

    Attributes
    ----------
    per_hour : studies that are begun in an hour; 0: no limit
    may_go_on : whether this is a time of day to retrieve at
    starts : by which the pace is kept
    """

    per_hour: float = 0.0
    may_go_on: Callable[[], bool] = lambda: True
    sleep: Callable[[float], None] = time.sleep
    starts: Starts = field(default_factory=StartsOfProcess)

    def wait(self) -> None:
        """Wait until the next study may begin."""
        while True:
            while not self.may_go_on():
                self.sleep(_LOOK_SECONDS)
            if not self.per_hour:
                return
            self.starts.space(3600 / self.per_hour, self.sleep)
            if self.may_go_on():
                return

    def seconds_for(self, studies: int, takes: Sequence[float]) -> float:
        """Return how long so many studies take, of which some were measured.

        A slow study is not made up for by a quick one, which waits for its turn all the same.
        Times of day at which nothing is retrieved come on top.

        Parameters
        ----------
        takes : seconds
            That each of some studies takes; at least one.
        """
        between = 3600 / self.per_hour if self.per_hour else 0.0
        paced = sum(max(between, one) for one in takes) / len(takes)
        last = sum(takes) / len(takes)  # nothing waits for the last one
        return max(studies - 1, 0) * paced + min(studies, 1) * last


def _time_in(text: bytes) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
