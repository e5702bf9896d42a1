"""The process that reads one reader's report: one line of JSON in, one out; it may die."""

import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from dicom_node.facts.assessed_results import Decision, read_assessments

MAXIMUM_MEMORY_BYTES: Final = 2**30
"""Address space of the process; what needs more ends it."""


def main() -> None:
    """Read the report of the one request on standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MAXIMUM_MEMORY_BYTES, MAXIMUM_MEMORY_BYTES))
    # A core dump would hold patient data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    request = json.loads(sys.stdin.buffer.readline())
    # Whoever asked has stopped waiting by then, or is gone.
    signal.setitimer(signal.ITIMER_REAL, request["seconds"])
    decisions = {code: Decision(word) for code, word in request["decisions"].items()}
    try:
        report = read_assessments(Path(request["file"]), decisions)
    except OSError:
        sys.exit(os.EX_IOERR)  # of the disk and not of the report
    json.dump(asdict(report), answers)
    answers.close()


if __name__ == "__main__":
    main()
