"""The process that compares two objects for the registrar: one line of JSON in, one out."""

import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from dicom_node.facts.image_comparison import likeness_of

MAXIMUM_MEMORY_BYTES: Final = 3 * 2**30
"""Address space of the process: two decoded frames of the largest size, and a decoder's own."""


def main() -> None:
    """Compare the two objects of the one request on standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MAXIMUM_MEMORY_BYTES, MAXIMUM_MEMORY_BYTES))
    # A core dump would hold patient data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    request = json.loads(sys.stdin.buffer.readline())
    # Whoever asked has stopped waiting by then, or is gone.
    signal.setitimer(signal.ITIMER_REAL, request["seconds"])
    kept = None if request["kept"] is None else Path(request["kept"])
    try:
        likeness = likeness_of(kept, Path(request["new"]))
    except OSError:
        sys.exit(os.EX_IOERR)  # of the disk and not of the images
    json.dump(asdict(likeness), answers)
    answers.close()


if __name__ == "__main__":
    main()
