"""Faults of the site, of which no study is the cause: the worker waits until they end."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from dicom_node.errors import LedgerError, NodeError, OutOfResourcesError, SettingsError
from dicom_node.studies.ledger.database import DATABASE_TROUBLE
from mammoclip_core.errors import (
    BundleError,
    ComputingError,
    CoreError,
    DeviceError,
    LicenceError,
    MissingLibraryError,
)

log = structlog.get_logger("worker.site")

FIRST_WAIT_SECONDS: Final = 5
LONGEST_WAIT_SECONDS: Final = 60
BENEFIT_OF_THE_DOUBT: Final = 10
"""How often an error that a study may have caused is taken for a fault of the site."""


class WorkerFaultError(NodeError):
    """The worker cannot analyse even its test images."""

    reason = "worker-fault"


_OF_THE_SITE: Final = (
    BundleError,
    LicenceError,
    MissingLibraryError,
    SettingsError,
    OutOfResourcesError,
)
"""Errors that no study can cause: of bundle, terms, installation, settings and disk."""

_OF_THE_LEDGER: Final = (DATABASE_TROUBLE, LedgerError)

_NO_THREAD: Final = "can't start new thread"
"""What `threading` says in a RuntimeError where the system starts no further thread."""

DOUBTFUL: Final = (MemoryError, DeviceError, ComputingError, OSError)
"""Errors of the machine, which one study may also provoke in every worker that takes it."""


@dataclass
class SiteFaults:
    """What is wrong with the site as far as this process knows.

    Parameters
    ----------
    look : raises the error of what is wrong, if anything is
    clock, sleep : in seconds
    needs_new_process : bool
        True once a device stopped answering: only a process that has not used it may reach it.
    """

    look: Callable[[], object]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    needs_new_process: bool = False
    _fault: str = ""
    _is_of_the_ledger: bool = False
    _wait: float = FIRST_WAIT_SECONDS
    _look_at: float = 0
    _doubts: Counter[int] = field(default_factory=Counter)

    @property
    def is_known(self) -> bool:
        """Return whether a fault was noted that has not been seen to end."""
        return bool(self._fault)

    @property
    def in_words(self) -> str:
        """Return the fault that is known; empty if none is."""
        return self._fault

    @property
    def wait_seconds(self) -> float:
        """Return the time until the present fault is looked at again."""
        return max(self._look_at - self.clock(), 0)

    def lasts(self) -> bool:
        """Return whether the site has a fault; during one, wait a little before looking again.

        The wait is short, so that a worker that is told to end does, and takes what its other
        queue holds; how often it looks is another matter.
        """
        if self._fault and self.wait_seconds:
            self.pause()
            if self.wait_seconds:
                return True
        words = self._trouble()
        if words:
            self.note(words)
        # That the ledger answers again is told by what asks it.
        elif self._fault and not self._is_of_the_ledger:
            self._end()
        return bool(words)

    def ledger_answers(self) -> None:
        """Take note that the ledger answered: a fault of it has ended."""
        if self._is_of_the_ledger:
            self._end()
            self._wait = FIRST_WAIT_SECONDS

    def pause(self) -> None:
        """Wait until the fault is looked at again, but not for long."""
        self.sleep(min(self.wait_seconds, FIRST_WAIT_SECONDS))

    def note_silent_ledger(self, error: Exception) -> None:
        """Take note that the ledger did not answer; its next answer ends this fault."""
        self.note(words_of(error))
        self._is_of_the_ledger = True

    def note(self, words: str) -> None:
        """Take note of a fault, and say so if it is not the one that is known."""
        if words != self._fault:
            log.error("site_fault", reason=words)
            self._fault, self._is_of_the_ledger = words, False
        self._look_at = self.clock() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)

    def behind(self, error: Exception, analysis_id: int, *, begun: int = 1) -> str:
        """Return in words the fault of the site behind an error; empty if it is the study's.

        Parameters
        ----------
        begun : how often the study was begun, by any process
            A process that loses its device ends, and with it its own count.
        """
        self.needs_new_process |= isinstance(error, DeviceError)
        if is_of_the_site(error):
            return words_of(error)
        doubts = max(self._doubts[analysis_id], begun - 1)
        if isinstance(error, DOUBTFUL) and doubts < BENEFIT_OF_THE_DOUBT:
            self._doubts[analysis_id] += 1
            return words_of(error)
        return self._trouble()

    def _end(self) -> None:
        self._fault, self._is_of_the_ledger = "", False
        log.warning("site_fault_ended")

    def study_is_done(self, analysis_id: int) -> None:
        """Take note that a study was analysed: the next fault is another one."""
        self._wait = FIRST_WAIT_SECONDS
        self._doubts.pop(analysis_id, None)

    def _trouble(self) -> str:
        try:
            self.look()
        # Without a study nothing can be the study's fault, whatever a library raises.
        except Exception as error:  # noqa: BLE001  the caller tells it
            return words_of(error)
        return ""


def is_of_the_site(error: Exception) -> bool:
    """Return whether an error has a cause that every study would meet."""
    return isinstance(error, (*_OF_THE_SITE, *_OF_THE_LEDGER)) or is_short_of_threads(error)


def is_short_of_threads(error: Exception) -> bool:
    """Return whether the system started no further thread, which no study can cause."""
    return isinstance(error, RuntimeError) and _NO_THREAD in str(error)


def words_of(error: Exception) -> str:
    """Say what is wrong, without what a library may have quoted of its input."""
    if isinstance(error, DATABASE_TROUBLE) and not isinstance(error, LedgerError):
        return f"the ledger does not answer: {type(error).__name__}"
    if isinstance(error, MemoryError):
        return "the machine is short of memory"
    if is_short_of_threads(error):
        return "the system starts no further thread: raise its limit of processes and threads"
    if isinstance(error, OSError):
        return f"the system reports: {error.strerror or type(error).__name__}"
    if isinstance(error, (*_OF_THE_SITE, LedgerError, CoreError)):
        return str(error)
    return f"the worker cannot analyse: {type(error).__name__}"
