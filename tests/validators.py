"""External validators, judged as their authors mean them."""

import os
import re
import subprocess
from pathlib import Path

from services import BIN, require_program

from dicom_node.commands.validate import JAVA_OPTIONS, KNOWN_ERRORS, KNOWN_MESSAGES

KEPT_DUMP_WARNING = re.compile(
    r"^W: (.*Specific ?Character ?Set|Check for template constraints not yet supported)"
)


def dciodvfy_errors(file: Path) -> list[str]:
    """Return the Error lines of the newest dciodvfy (the wheel's, else Debian's)."""
    program = BIN / "dciodvfy"
    command = [str(program if program.exists() else require_program("dciodvfy")), "-new", str(file)]
    # It repeats values as they stand, in whatever character set.
    done = subprocess.run(command, capture_output=True, encoding="latin-1", check=False)
    output = done.stdout + done.stderr
    assert output.strip(), "dciodvfy says at least which IOD it checks"
    lines = [line for line in output.splitlines() if line.startswith("Error")]
    return [line for line in lines if not any(known.match(line) for known in KNOWN_ERRORS)]


def report_template_complaints(file: Path, template: str) -> list[str]:
    """Return what DicomSRValidator has against a report; its exit code is always 0."""
    done = subprocess.run(
        [
            require_program("DicomSRValidator"),
            "-checktemplateid",
            "-checkcontentitemorder",
            str(file),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "JAVA_TOOL_OPTIONS": JAVA_OPTIONS},
    )
    output = done.stdout + done.stderr
    assert f"Found Root Template {template}" in output, output
    assert "Root Template Validation Complete" in output, output
    wrong = re.compile(r"^(Error|Warning)|illegal relationship|Exception")
    lines = [line for line in output.splitlines() if wrong.search(line)]
    return [line for line in lines if not any(known.match(line) for known in KNOWN_MESSAGES)]


def dump_of_report(file: Path) -> str:
    """Return dcmtk's reading of a report; an error of its is a failure."""
    done = subprocess.run(
        [require_program("dsrdump"), "-v", "+Pn", "+Pc", str(file)],
        capture_output=True,
        encoding="latin-1",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in filter(re.compile("^[WE]:").match, done.stderr.splitlines()):
        assert KEPT_DUMP_WARNING.match(line), done.stderr
    return done.stdout
