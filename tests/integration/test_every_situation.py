"""Every object of every situation passes every validator, and an archive finds its references."""

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from archived_references import broken_references
from objects_factory import STUDY_UID, bytes_of
from pydicom.dataset import Dataset
from services import Orthanc, require_program
from situations import SITUATIONS, Situation, large_tomosynthesis
from validators import TEMPLATES, dciodvfy_errors, dump_of_report, report_template_complaints

from dicom_node.facts.own_result import MANUFACTURER
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.content.content_rules import complaints_about

pytestmark = [pytest.mark.validators, pytest.mark.orthanc]

IN_CI = (
    *("one breast", "unknown side", "not square", "tomosynthesis", "Japanese"),
    *("for processing beside for presentation", "one failed", "all failed"),
)
"""The short form: the rest differs from these in views and names alone."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    server = Orthanc(tmp_path_factory.mktemp("archive"), node_port=1)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def stored_and_read(archive: Orthanc, datasets: list[Dataset]) -> list[bytes]:
    """Let the archive hold these objects alone, and return them as it gives them back."""
    for key in archive.get("/patients"):
        url = f"http://127.0.0.1:{archive.http_port}/patients/{key}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
    url = f"http://127.0.0.1:{archive.http_port}/instances"
    for dataset in datasets:
        urllib.request.urlopen(
            urllib.request.Request(url, bytes_of(dataset), method="POST")
        ).close()
    files = archive.instances(STUDY_UID)
    assert len(files) == len(datasets)
    return files


def complaints_of_validators(situation: Situation, folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, result in enumerate(situation.results):
        file = folder / f"{number:02d}-{result.kind}.dcm"
        result.dataset.save_as(file, enforce_file_format=True)
        found[file.name] = [*dciodvfy_errors(file), *complaints_about(result.dataset)]
        if result.kind.row.is_report:
            assert "Report" in dump_of_report(file)
        done = subprocess.run(
            [require_program("dcmpschk"), file], capture_output=True, text=True, check=False
        )
        lines = (done.stdout + done.stderr).splitlines()
        assert any("Testing:" in line for line in lines)
        found[file.name] += [line for line in lines if line.startswith(("E:", "F:"))]
    return found


def read_strictly(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn every byte of every attribute into its value: one that is illegal raises."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    for file in files:
        assert len(list(pydicom.dcmread(pydicom.filebase.DicomBytesIO(file)).iterall())) > 40


def check(
    situation: Situation, archive: Orthanc, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [one.dataset for one in situation.results]
    assert {one.kind for one in situation.results} >= {
        ResultKind.MEASUREMENT_REPORT,
        ResultKind.CAD_REPORT,
    }
    complaints = complaints_of_validators(situation, folder)
    assert complaints == {name: [] for name in complaints}
    read_strictly([bytes_of(one) for one in results], monkeypatch)
    count, broken = broken_references(
        stored_and_read(archive, [*situation.images, *results]), by=MANUFACTURER
    )
    assert broken == []
    assert count >= 2 * len(situation.images)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in IN_CI else pytest.mark.long) for name in SITUATIONS],
)
def test_objects_pass_and_their_references_are_found(
    name: str, archive: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(SITUATIONS[name](), archive, tmp_path, monkeypatch)


@pytest.mark.long
def test_large_volume_passes_and_its_references_are_found(
    archive: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(large_tomosynthesis(), archive, tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("name", SITUATIONS)
def test_every_report_follows_its_template(name: str, tmp_path: Path) -> None:
    found = {}
    for result in SITUATIONS[name]().results:
        if result.kind in TEMPLATES:
            file = tmp_path / f"{result.kind}.dcm"
            result.dataset.save_as(file, enforce_file_format=True)
            found[result.kind] = report_template_complaints(file, TEMPLATES[result.kind])

    assert found == {kind: [] for kind in found}
