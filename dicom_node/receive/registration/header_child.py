"""The process that reads headers for the registrar, one line of JSON for each; it may die.

Its standard input and output are a ``HeaderReader``'s (``header_process``).
"""

import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from dicom_node.errors import SetAsideError
from dicom_node.facts.bounded_header import SlowHeaderError
from dicom_node.facts.instance import Reading, read_header

MAXIMUM_MEMORY_BYTES: Final = 2**30
"""Address space of the process; what needs more ends it."""


def main() -> None:
    """Answer requests until standard input ends."""
    _restrict()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # Whoever asked has stopped waiting by then, or is gone.
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])
        try:
            answer = _attributes(request) if "attributes" in request else _answer(request)
        except SlowHeaderError:
            answer = {"file": request["file"], "slow": True}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _restrict() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAXIMUM_MEMORY_BYTES, MAXIMUM_MEMORY_BYTES))
    # A core dump would hold patient data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Ctrl-C reaches the whole terminal: the node decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    reading: Reading = read_header(
        Path(request["file"]),
        identity_key=bytes.fromhex(request["identity_key"]),
        secondary_capture_senders=frozenset(request["secondary_capture_senders"]),
        maximum_bytes=request["maximum_bytes"],
        takes_tomosynthesis=request["takes_tomosynthesis"],
        may_take_long=request["may_take_long"],
        radiograph_senders=frozenset(request["radiograph_senders"]),
        calling_ae_title=request["calling_ae_title"],
    )
    problem = reading.problem
    return {
        "file": request["file"],
        "slow": False,
        "facts": None if reading.facts is None else asdict(reading.facts),
        "problem": None if problem is None else [problem.reason_word, str(problem)],
        "calling_ae_title": reading.calling_ae_title,
        "priority": reading.priority,
    }


def _attributes(request: dict[str, Any]) -> dict[str, Any]:
    # Imported here: only a site with rules on attributes asks for them.
    from dicom_node.routing.attributes import read_attributes

    answer: dict[str, Any] = {"file": request["file"], "slow": False, "problem": None}
    try:
        answer["values"] = read_attributes(
            Path(request["file"]), request["attributes"], maximum_bytes=request["maximum_bytes"]
        )
    except SetAsideError as error:
        answer["problem"] = (error.reason_word, str(error))
    except MemoryError:
        raise  # this process is at its limit, and ends
    except Exception as error:  # noqa: BLE001  damaged files can raise any error
        detail = f"not a readable DICOM data set ({type(error).__name__})"
        answer["problem"] = ("unreadable-object", detail)
    return answer


if __name__ == "__main__":
    main()
