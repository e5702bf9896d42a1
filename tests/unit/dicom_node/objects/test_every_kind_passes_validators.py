"""Every kind of object of every kind of study passes every validator that there is for it."""

import subprocess
from pathlib import Path

import pytest
from every_kind import STUDIES, objects_of
from services import require_program
from sr_reading import drawn_tree
from validators import TEMPLATES, dciodvfy_errors, dump_of_report, report_template_complaints

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.content.content_rules import complaints_about

pytestmark = pytest.mark.validators


def saved(study: str, folder: Path) -> dict[Path, ResultKind]:
    files = {}
    for number, result in enumerate(objects_of(study)):
        file = folder / f"{number:02d}-{result.kind}.dcm"
        result.dataset.save_as(file, enforce_file_format=True)
        files[file] = result.kind
    return files


@pytest.mark.parametrize("study", STUDIES)
def test_every_object_passes_dciodvfy(study: str, tmp_path: Path) -> None:
    found = {file.name: dciodvfy_errors(file) for file in saved(study, tmp_path)}

    assert found == {name: [] for name in found}


@pytest.mark.parametrize("study", STUDIES)
def test_every_object_passes_our_own_checks(study: str) -> None:
    found = {result.kind: complaints_about(result.dataset) for result in objects_of(study)}

    assert found == {kind: [] for kind in found}


@pytest.mark.parametrize("study", STUDIES)
def test_two_other_readers_follow_every_report(study: str, tmp_path: Path) -> None:
    for file, kind in saved(study, tmp_path).items():
        if kind.row.is_report:
            assert "Report" in dump_of_report(file)
            subprocess.run([require_program("dcsrdump"), file], capture_output=True, check=True)


@pytest.mark.long  # the situations of tests/integration are the short form
@pytest.mark.timeout(900)
def test_every_report_follows_its_template_row_by_row(tmp_path: Path) -> None:
    """The validator takes a second a report: of those with the same tree it is shown one."""
    different: dict[tuple[str, ...], tuple[Path, str]] = {}
    for study in STUDIES:
        for number, result in enumerate(objects_of(study)):
            if result.kind in TEMPLATES:
                file = tmp_path / f"{study.replace(' ', '-')}-{number}.dcm"
                result.dataset.save_as(file, enforce_file_format=True)
                different.setdefault(
                    tuple(drawn_tree(result.dataset)), (file, TEMPLATES[result.kind])
                )

    found = {
        file.name: report_template_complaints(file, template)
        for file, template in different.values()
    }

    assert found == {name: [] for name in found}


def test_the_objects_are_of_every_kind() -> None:
    assert {result.kind for study in STUDIES for result in objects_of(study)} == set(ResultKind)
