"""Has a reader's report read in a process of its own, so that none takes the node down with it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from dicom_node.errors import NodeError
from dicom_node.facts.assessed_results import AssessmentReport, Decision
from dicom_node.receive.registration.header_process import child_environment

SECONDS: Final = 20.0
"""How long one report may take; one of a page takes some milliseconds."""

_REPORT: Final = TypeAdapter(AssessmentReport)


class UnreadableAssessmentError(NodeError):
    """The report cannot be read, or takes too much memory or time."""

    reason = "unreadable-assessment"


def assessments_in(
    file: Path, decisions: Mapping[str, Decision], *, seconds: float = SECONDS
) -> AssessmentReport:
    """Return what a report says.

    Raises
    ------
    UnreadableAssessmentError
        It is no report that can be read.
    OSError
        The file cannot be read at present, or no process be started.
    """
    request = {
        "file": str(file.absolute()),
        "decisions": {code: str(word) for code, word in decisions.items()},
        "seconds": seconds,
    }
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "dicom_node.assessments.reading_child"],
            input=json.dumps(request).encode() + b"\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's warnings may quote patient data
            check=True,
            timeout=seconds + 5,
            start_new_session=True,  # Ctrl-C reaches the whole terminal: the node decides
            env=child_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableAssessmentError("the report takes too long to read") from error
    except subprocess.CalledProcessError as error:
        if error.returncode == os.EX_IOERR:
            raise OSError("the report cannot be read at present") from None
        raise UnreadableAssessmentError("the report is damaged, or too large") from error
    return _REPORT.validate_json(answer.stdout)
