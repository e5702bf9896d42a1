"""Reads headers in a process of its own, so that no object can take the node down with it."""

import json
import os
import select
import subprocess
import sys
import weakref
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import structlog
from pydantic import TypeAdapter

from dicom_node.errors import SetAsideError
from dicom_node.facts.instance import Reading
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.facts.priority import Priority

log = structlog.get_logger("dicom_node.header_process")

SECONDS_FOR_ONE_HEADER: Final = 20.0
"""How long one header may take; a whole one takes about a millisecond."""

_MARGIN_SECONDS: Final = 5.0
_OWN_PREFIX: Final = "MAMMOCLIP_"
_FACTS: Final = TypeAdapter(InstanceFacts)


class _EndedError(Exception):
    """The process ended, or did not answer in time, while it read an object."""


class HeaderReader:
    """Reads one header after the other in a child process with little memory and time.

    An object at which the child ends is read once more by a new one, which has read nothing
    before. If that ends too, the object is unreadable. So what waits behind such an object waits
    twice ``seconds`` at most.

    Parameters
    ----------
    seconds : how long one header may take
    """

    def __init__(self, *, seconds: float = SECONDS_FOR_ONE_HEADER) -> None:
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._close: Callable[[], object] = _nothing

    def read(
        self,
        file: Path,
        *,
        identity_key: bytes,
        secondary_capture_senders: frozenset[str],
        maximum_bytes: int,
        takes_tomosynthesis: bool = False,
        radiograph_senders: frozenset[str] = frozenset(),
        calling_ae_title: str | None = None,
    ) -> Reading:
        """Read one received file, as ``dicom_node.facts.instance.read_header`` does.

        Raises
        ------
        OSError
            The system cannot start another process; nothing is known of the object.
        """
        reading = self.begin(
            file,
            identity_key=identity_key,
            secondary_capture_senders=secondary_capture_senders,
            maximum_bytes=maximum_bytes,
            takes_tomosynthesis=takes_tomosynthesis,
            radiograph_senders=radiograph_senders,
            calling_ae_title=calling_ae_title,
        )()
        assert reading is not None, "it may take its time"
        return reading

    def begin(
        self,
        file: Path,
        *,
        identity_key: bytes,
        secondary_capture_senders: frozenset[str],
        maximum_bytes: int,
        takes_tomosynthesis: bool = False,
        radiograph_senders: frozenset[str] = frozenset(),
        may_take_long: bool = True,
        calling_ae_title: str | None = None,
    ) -> Callable[[], Reading | None]:
        """Begin to read a file; return what waits for the end, to be called before the next.

        Parameters
        ----------
        may_take_long : bool
            Whether the header may take its time. Otherwise the result is None for one that does.

        Raises
        ------
        OSError
            As `read`.
        """
        request = {
            "file": str(file.absolute()),
            "identity_key": identity_key.hex(),
            "secondary_capture_senders": sorted(secondary_capture_senders),
            "maximum_bytes": maximum_bytes,
            "takes_tomosynthesis": takes_tomosynthesis,
            "may_take_long": may_take_long,
            "radiograph_senders": sorted(radiograph_senders),
            "calling_ae_title": calling_ae_title,
            "seconds": self._seconds,
        }
        self._send(request)
        return lambda: self._reading(request, file)

    def attributes(
        self, file: Path, names: Collection[str], *, maximum_bytes: int
    ) -> dict[str, Any]:
        """Read attributes as ``dicom_node.routing.attributes.read_attributes`` does.

        Raises
        ------
        SetAsideError
            The header cannot be read, or takes too much memory or time.
        OSError
            As `read`.
        """
        request = {
            "file": str(file.absolute()),
            "attributes": sorted(names),
            "maximum_bytes": maximum_bytes,
            "seconds": self._seconds,
        }
        self._send(request)
        answer = self._read_twice(request, file)
        if answer["problem"] is not None:
            raise SetAsideError(*answer["problem"])
        values: dict[str, Any] = answer["values"]
        return values

    def _reading(self, request: dict[str, Any], file: Path) -> Reading | None:
        answer = self._read_twice(request, file)
        return None if answer["slow"] else _reading_of(answer)

    def _read_twice(self, request: dict[str, Any], file: Path) -> dict[str, Any]:
        try:
            return self._answer_to(request)
        except _EndedError as error:
            log.warning("header_reader_ended", receipt=file.stem, detail=str(error))
        try:
            self._send(request)
            return self._answer_to(request)
        except _EndedError as error:
            detail = f"reading its header takes too much memory or time ({error}, twice)"
            return {
                "slow": False,
                "facts": None,
                "problem": ("unreadable-object", detail),
                "calling_ae_title": "",
                "priority": None,
            }

    def close(self) -> None:
        """End the child process; the next header starts another."""
        self._close()
        self._child = None

    def _send(self, request: dict[str, Any]) -> None:
        child = self._child or self._start()
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: then no answer comes either
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()

    def _answer_to(self, request: dict[str, Any]) -> dict[str, Any]:
        child = self._child
        if child is None:
            raise _EndedError("the process was closed")
        assert child.stdout is not None
        line = _line_within(child.stdout, self._seconds + _MARGIN_SECONDS)
        if not line.endswith(b"\n"):
            with suppress(subprocess.TimeoutExpired):
                child.wait(1.0)  # its exit status says more than that it was killed here
            self.close()
            raise _EndedError(_how_it_ended(child))
        answer: dict[str, Any] = json.loads(line)
        if answer["file"] != request["file"]:
            # Nobody has waited for the one before: its header is not this one's.
            self.close()
            raise _EndedError("the answer was for another object")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "dicom_node.receive.registration.header_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's warnings may quote patient data
            env=child_environment(),
        )
        self._child = child
        self._close = weakref.finalize(self, _end, child)
        return child


def child_environment() -> dict[str, str]:
    """Return the environment of a child process: no settings of the site, and one thread."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIX)},
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # One thread: each would take a part of the memory that the child may have.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _nothing() -> None:
    """End a child that was never started."""


def _line_within(stream: IO[bytes], seconds: float) -> bytes:
    """Return the next line, or nothing if it does not come in time; a child writes whole lines."""
    # Not select.select, which fails beyond the thousandth descriptor of a process.
    waiting = select.poll()
    waiting.register(stream, select.POLLIN)
    return stream.readline() if waiting.poll(seconds * 1000) else b""


def _end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError):
        child.stdin.close()
    child.stdout.close()
    child.kill()
    child.wait()


def _how_it_ended(child: subprocess.Popen[bytes]) -> str:
    status = child.returncode
    if status < 0:
        return f"the process that read it ended with signal {-status}"
    return f"the process that read it ended with exit status {status}"


def _reading_of(answer: dict[str, Any]) -> Reading:
    problem, facts, priority = answer["problem"], answer["facts"], answer["priority"]
    return Reading(
        facts=None if facts is None else _FACTS.validate_python(facts),
        problem=None if problem is None else SetAsideError(*problem),
        calling_ae_title=answer["calling_ae_title"],
        priority=None if priority is None else Priority(priority),
    )
