"""External validators, judged as their authors mean them."""

import atexit
import functools
import re
import subprocess
import threading
from pathlib import Path

from services import BIN, require_program

from dicom_node.commands.validate import JAVA_OPTIONS, KNOWN_ERRORS, KNOWN_MESSAGES
from dicom_node.facts.result_kinds import ResultKind

PIXELMED = "/usr/share/java/pixelmed.jar"
TEMPLATES = {
    ResultKind.MEASUREMENT_REPORT: "TID_1500 (MeasurementReport)",
    ResultKind.CAD_REPORT: "TID_4000 (MammographyCADDocumentRoot)",
    ResultKind.KEY_IMAGES: "TID_2010 (KeyObjectSelection)",
    ResultKind.REJECTION_NOTE: "TID_2010 (KeyObjectSelection)",
}
"""The root template of each kind of document, as DicomSRValidator names it."""

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
    """Return what DicomSRValidator has against a report."""
    output = "\n".join(report_validation(file))
    assert f"Found Root Template {template}" in output, output
    assert "Root Template Validation Complete" in output, output
    wrong = re.compile(r"^(Error|Warning)|illegal relationship|Exception")
    lines = [line for line in output.splitlines() if wrong.search(line)]
    return [line for line in lines if not any(known.match(line) for known in KNOWN_MESSAGES)]


def report_validation(file: Path) -> list[str]:
    """Return the lines that DicomSRValidator writes of a report."""
    require_program("DicomSRValidator")
    with _ONE_AT_A_TIME:
        process = _report_validator()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{file}\n")
        process.stdin.flush()
        lines = list(iter(process.stdout.readline, "END\n"))
        assert process.poll() is None, lines
    return [line.rstrip("\n") for line in lines]


_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def _report_validator() -> "subprocess.Popen[str]":
    """Return a Java process that keeps the validator's rules; it ends with its input."""
    process = subprocess.Popen(
        [
            "java",
            *JAVA_OPTIONS.split(),
            "-cp",
            PIXELMED,
            Path(__file__).with_name("ReportValidator.java"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="latin-1",
    )
    atexit.register(process.communicate)
    return process


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
