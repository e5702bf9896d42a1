"""Every CAD report passes validators that are not ours."""

import subprocess
from pathlib import Path

import pytest
from cad_cases import CAD_CASES
from services import require_program
from validators import dciodvfy_errors, dump_of_report, report_template_complaints

pytestmark = pytest.mark.validators

DIFFERENT_ROWS = (
    "four views",
    "failed image",
    "optional mark",
    "finding without a place",
    "density coded",
    "older codes",
)
"""The cases whose trees differ in more than their values: the validator takes 10 s for each."""


def saved(case: str, folder: Path) -> Path:
    path = folder / "cad.dcm"
    CAD_CASES[case]().save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("case", CAD_CASES)
def test_cad_report_passes_dciodvfy(case: str, tmp_path: Path) -> None:
    assert dciodvfy_errors(saved(case, tmp_path)) == []


@pytest.mark.parametrize("case", CAD_CASES)
def test_dcmtk_follows_every_reference(case: str, tmp_path: Path) -> None:
    text = dump_of_report(saved(case, tmp_path))

    assert "Mammography CAD Report" in text


@pytest.mark.parametrize("case", CAD_CASES)
def test_dcsrdump_reads_the_cad_report_to_its_end(case: str, tmp_path: Path) -> None:
    outcome = subprocess.run(
        [require_program("dcsrdump"), saved(case, tmp_path)], capture_output=True, check=False
    )

    assert outcome.returncode == 0
    assert b"111065" in outcome.stderr


@pytest.mark.parametrize("case", DIFFERENT_ROWS)
def test_cad_report_follows_its_template_row_by_row(case: str, tmp_path: Path) -> None:
    complaints = report_template_complaints(
        saved(case, tmp_path), "TID_4000 (MammographyCADDocumentRoot)"
    )

    assert complaints == []
