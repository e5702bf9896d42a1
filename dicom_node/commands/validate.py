"""Checks result objects with built-in rules and with the installed validators."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.facts.result_kinds import KEY_OBJECT_SELECTION
from dicom_node.objects.content.content_rules import REPORTS, complaints_about
from mammoclip_core.images.folder import may_be_file
from mammoclip_core.images.folder_walk import paths_below

OWN_CHECKS: Final = "own checks"

KNOWN_MESSAGES: Final = (
    re.compile(
        r"^Warning: .*/CONTAINER \(C0034375,.*?\)/(CODE|TEXT) .*?\)/.*: "
        r"Content Item not in template$"
    ),
    re.compile(
        r"^Warning: .*/CONTAINER \(125007,DCM,.*?\)/CODE "
        r"\((111056,DCM|111048,DCM|111020,DCM|lesion_number,99MAMMOCLIP),[^)]*\): "
        r"Content Item not in template$"
    ),
    re.compile(
        r"^Warning: .*\((111024,DCM|111025,DCM"
        r"|399110001,SCT|R-102C2,SRT|399260004,SCT|R-10224,SRT),"
        r".*has different code meaning"
    ),
    re.compile(r"^Error: .*\(129715009,(SCT|SRT),.*Incorrect relationship - expected CONTAINS"),
)
"""DicomSRValidator's messages on valid reports, explained in docs/validator_messages.md."""

KNOWN_ERRORS: Final = (
    re.compile(
        r"^Error - </ViewCodeSequence\(0054,0220\)\[1\]"
        r"/ViewModifierCodeSequence\(0054,0222\)\[\d+\]"
        r"/(ValueType\(0040,a040\)|ConceptNameCodeSequence\(0040,a043\))>"
        r" - Missing attribute for Type 1 Required - Module=<ContentItemMacro>$"
    ),
)
"""dciodvfy's errors on valid pictures, explained in docs/validator_messages.md."""

JAVA_OPTIONS: Final = " ".join(
    (
        # Java 17 limits XPath below what DicomSRValidator's style sheets need.
        "-Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathTotalOpLimit=0 -Djdk.xml.xpathExprGrpLimit=0",
        # It runs for seconds: compiling its code any further costs more than it saves.
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    )
)
"""Options of Java for DicomSRValidator."""

_TIMEOUT_SECONDS: Final = 180


class Judgement(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "FAILED"
    NOT_INSTALLED = "not installed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict of one validator on one file.

    Attributes
    ----------
    messages : its errors; warnings on a file that passes are left out
    """

    file: str
    validator: str
    verdict: Judgement
    messages: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Return whether the validator found an error."""
        return self.verdict is Judgement.FAILED


def validate_path(path: Path) -> list[Verdict]:
    """Check a file, or every DICOM file below a folder.

    A file given by name must be DICOM; in a folder other files are skipped.
    """
    verdicts: list[Verdict] = []
    for file in paths_below(path) if path.is_dir() else [path]:
        if not may_be_file(file):
            continue
        try:
            dataset = pydicom.dcmread(file)
        except InvalidDicomError:
            if file == path:
                verdicts.append(_verdict(file, OWN_CHECKS, ["not a DICOM file"]))
            continue
        except Exception as error:  # noqa: BLE001  damaged files can raise any error
            fault = f"cannot be read: {type(error).__name__}"
            verdicts.append(_verdict(file, OWN_CHECKS, [fault]))
            continue
        verdicts.extend(_judged(file, dataset))
    return verdicts


def _judged(file: Path, dataset: Dataset) -> Iterator[Verdict]:
    yield _verdict(file, OWN_CHECKS, complaints_about(dataset))
    yield _external(file, "dciodvfy", ["-new"], re.compile(r"^Error"))
    if dataset.get("SOPClassUID") in {*REPORTS, KEY_OBJECT_SELECTION}:
        yield _external(file, "dsrdump", ["+Pn", "+Pc"], re.compile(r"^E:|^W: .*[Rr]eference"))
        yield _external(file, "dcsrdump", [], re.compile(r"^Error"))
        yield _template_checked(file)


def _external(
    file: Path, program: str, options: Sequence[str], complaint: re.Pattern[str]
) -> Verdict:
    path = _program(program)
    if path is None:
        return Verdict(file=str(file), validator=program, verdict=Judgement.NOT_INSTALLED)
    status, lines = _run([path, *options, str(file)])
    found = [line for line in lines if complaint.search(line)]
    complaints = [line for line in found if not any(one.search(line) for one in KNOWN_ERRORS)]
    if status != 0 and not found:
        complaints = [f"ended with status {status}", *lines[-1:]]
    return _verdict(file, program, complaints)


def _template_checked(file: Path) -> Verdict:
    """Read DicomSRValidator's output: its exit status is 0 even after errors."""
    program = "DicomSRValidator"
    path = _program(program)
    if path is None:
        return Verdict(file=str(file), validator=program, verdict=Judgement.NOT_INSTALLED)
    _, lines = _run([path, "-checktemplateid", "-checkcontentitemorder", str(file)])
    complaints = [
        line
        for line in lines
        if re.search(r"^(Error|Warning)|illegal relationship|Exception", line)
        and not any(known.search(line) for known in KNOWN_MESSAGES)
    ]
    if not any(line.startswith("Found Root Template") for line in lines):
        complaints.append("the root template was not found")
    if "IOD validation complete" not in lines:
        complaints.append("the validation did not finish")
    return _verdict(file, program, complaints)


def _program(name: str) -> str | None:
    """Look beside this Python first: its wheels are newer than the distribution's packages."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name)


def _run(command: Sequence[str]) -> tuple[int, list[str]]:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="latin-1",
            check=False,
            timeout=_TIMEOUT_SECONDS,
            env={**os.environ, "JAVA_TOOL_OPTIONS": JAVA_OPTIONS},
        )
    except subprocess.TimeoutExpired:
        return 1, [f"no answer within {_TIMEOUT_SECONDS} s"]
    return done.returncode, (done.stdout + done.stderr).splitlines()


def _verdict(file: Path, validator: str, complaints: Sequence[str]) -> Verdict:
    return Verdict(
        file=str(file),
        validator=validator,
        verdict=Judgement.FAILED if complaints else Judgement.PASSED,
        messages=tuple(complaints),
    )
