"""Every object of every kind of study passes validators that are not ours."""

import re
import subprocess
from pathlib import Path

import pytest
from study_cases import CASES
from validators import report_validation

from dicom_node.facts.result_kinds import ResultKind

pytestmark = pytest.mark.validators

KNOWN_WARNINGS = (
    r"DeviceUID\(0018,1002\)> - Attribute is not present in standard DICOM IOD",
    r"</ViewPosition\(0018,5101\)> - Attribute is not present in standard DICOM IOD",
    r"Missing attribute or value that would be needed to build DICOMDIR",
    r"CodingSchemeDesignator\(0008,0102\)(\[1\])?> - Unrecognized defined term = "
    r"<99(MAMMOCLIP|IHE)>",
    r"</Laterality\(0020,0060\)> - is only permitted to be empty when actually unknown",
)
"""What dciodvfy may say; the reasons are in docs/validator_messages.md."""

CHARACTER_SET_WARNING = re.compile(rb"VR checker does not support|unsupported SpecificCharacterSet")

KNOWN_REPORT_MESSAGES = (
    r"^Warning: 1\.1[01](\.\d+){2,3}: .*/CONTAINER \(C0034375,.*: Content Item not in template$",
    r"^Warning: .*/CONTAINER \(125007,DCM,.*?\)/CODE "
    r"\((111048,DCM|111020,DCM|lesion_number,99MAMMOCLIP),[^)]*\): Content Item not in template$",
)
"""What DicomSRValidator may say; the reasons are in docs/validator_messages.md."""


def complaints_of_dciodvfy(path: Path) -> list[str]:
    outcome = subprocess.run(
        ["dciodvfy", "-new", path], capture_output=True, encoding="latin-1", check=False
    )
    lines = (outcome.stdout + outcome.stderr).splitlines()
    return [
        line
        for line in lines
        if re.match("Error|Warning|Assertion", line)
        and not any(re.search(known, line) for known in KNOWN_WARNINGS)
    ]


@pytest.mark.parametrize("case", CASES)
def test_every_object_passes_dciodvfy(case: str, tmp_path: Path) -> None:
    complaints = {}
    for number, result in enumerate(CASES[case]()):
        path = tmp_path / f"{number}-{result.kind}.dcm"
        result.dataset.save_as(path, enforce_file_format=True)
        complaints[path.name] = complaints_of_dciodvfy(path)

    assert complaints == {name: [] for name in complaints}


@pytest.mark.parametrize("case", CASES)
def test_every_report_is_read_by_dsrdump(case: str, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    CASES[case]()[-1].dataset.save_as(path, enforce_file_format=True)

    outcome = subprocess.run(
        ["dsrdump", "-v", "+Pn", "+Pc", path], capture_output=True, check=False
    )

    warnings = [line for line in outcome.stderr.splitlines() if line.startswith((b"W:", b"E:"))]
    unexpected = [line for line in warnings if not CHARACTER_SET_WARNING.search(line)]
    assert (outcome.returncode, unexpected) == (0, [])


@pytest.mark.parametrize("case", ["many findings", "failed image"])
def test_report_follows_its_template_row_by_row(case: str, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    report = CASES[case]()[-1]
    assert report.kind is ResultKind.MEASUREMENT_REPORT
    report.dataset.save_as(path, enforce_file_format=True)

    lines = report_validation(path)

    assert "Found Root Template TID_1500 (MeasurementReport)" in lines
    assert "IOD validation complete" in lines
    complaints = [line for line in lines if re.search("Error|Warning|illegal|Exception", line)]
    assert [c for c in complaints if not any(re.search(k, c) for k in KNOWN_REPORT_MESSAGES)] == []
