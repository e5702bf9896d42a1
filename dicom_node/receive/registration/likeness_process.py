"""Compares two objects of one SOP Instance UID in a process of its own, which may die."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from dicom_node.facts.likeness import Likeness, Sameness
from dicom_node.receive.registration.header_process import child_environment

log = structlog.get_logger("dicom_node.likeness_process")

SECONDS_FOR_ONE_COMPARISON: Final = 30.0
"""How long one comparison may take; two images of 30 megapixels take about two seconds."""

_ATTEMPTS: Final = 2
_LIKENESS: Final = TypeAdapter(Likeness)


def compared(
    kept: Path | None, new: Path, *, seconds: float = SECONDS_FOR_ONE_COMPARISON
) -> Likeness:
    """Compare as `likeness_of` does; what takes too much memory or time counts as different.

    Two objects at which the process ends are compared once more by a new one: it may have been
    killed by the system, or by somebody.

    Raises
    ------
    OSError
        The system cannot start another process, or read the files; nothing is known of the objects.
    """
    request = {
        "kept": None if kept is None else str(kept.absolute()),
        "new": str(new.absolute()),
        "seconds": seconds,
    }
    for _ in range(_ATTEMPTS):
        likeness = _answer_to(request, receipt=new.stem)
        if likeness is not None:
            return likeness
    detail = "and comparing the two takes too much memory or time"
    return Likeness(verdict=Sameness.DIFFERENT, detail=detail)


def _answer_to(request: dict[str, Any], *, receipt: str) -> Likeness | None:
    """Return the answer of a process of its own, or None if that ended without one."""
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "dicom_node.receive.registration.likeness_child"],
            input=json.dumps(request).encode() + b"\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's warnings may quote patient data
            check=True,
            timeout=request["seconds"],
            start_new_session=True,  # Ctrl-C reaches the whole terminal: the node decides
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        log.warning("comparison_ended", receipt=receipt, detail="it took too long")
        return None
    except subprocess.CalledProcessError as error:
        if error.returncode == os.EX_IOERR:
            raise OSError("the files of the two images cannot be read at present") from None
        log.warning("comparison_ended", receipt=receipt, detail=_how_it_ended(error.returncode))
        return None
    return _LIKENESS.validate_json(answer.stdout)


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"its process ended with signal {-status}"
    return f"its process ended with exit status {status}"
