"""Compares two objects of one SOP Instance UID in a process of its own, which may die."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from dicom_node.facts.likeness import Likeness, Sameness
from dicom_node.receive.header_process import child_environment

SECONDS_FOR_ONE_COMPARISON: Final = 30.0
"""How long one comparison may take; two images of 30 megapixels take about two seconds."""

_LIKENESS: Final = TypeAdapter(Likeness)


def compared(
    kept: Path | None, new: Path, *, seconds: float = SECONDS_FOR_ONE_COMPARISON
) -> Likeness:
    """Compare as `likeness_of` does; what takes too much memory or time counts as different.

    Raises
    ------
    OSError
        The system cannot start another process; nothing is known of the objects.
    """
    request = {
        "kept": None if kept is None else str(kept.absolute()),
        "new": str(new.absolute()),
        "seconds": seconds,
    }
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "dicom_node.receive.likeness_child"],
            input=json.dumps(request).encode() + b"\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's warnings may quote patient data
            check=True,
            timeout=seconds,
            start_new_session=True,  # Ctrl-C reaches the whole terminal: the node decides
            env=child_environment(),
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        detail = "and comparing the two takes too much memory or time"
        return Likeness(verdict=Sameness.DIFFERENT, detail=detail)
    return _LIKENESS.validate_json(answer.stdout)
