"""Every object of every situation passes every validator, and an archive finds its references."""

import re
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from abridged_reports import abridged, form_of
from archived_references import broken_references
from every_kind import EVERY_KIND
from former_factory import former_of
from objects_factory import (
    STUDY_UID,
    bytes_of,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset
from services import Orthanc, require_program
from situations import image_file, large_tomosynthesis
from unusual_situations import EVERY_SITUATION
from validators import TEMPLATES, dciodvfy_errors, dump_of_report, report_template_complaints

from dicom_node.facts.own_result import MANUFACTURER
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.content.content_rules import complaints_about
from dicom_node.objects.products import ALL, OHIF, PROFILES, WORKSTATION
from dicom_node.objects.results import ResultObject

pytestmark = [pytest.mark.validators, pytest.mark.orthanc]

IN_CI = (
    *("one breast", "unknown side", "not square", "tomosynthesis", "Japanese"),
    *("for processing beside for presentation", "one failed", "all failed"),
)
"""The short form: the rest differs from these in views and names alone."""


NAME_BYTES = 64
"""Of a whole name, which is what dciodvfy and dcmpschk take; PS3.5 6.2 has 64 letters a group."""

OF_A_NAME = re.compile(
    r"PatientName|^E: Error: Attribute value|^E:    (Attribute|Affected|Expected)|^E: *$"
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    server = Orthanc(tmp_path_factory.mktemp("archive"), node_port=1)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def forms_seen() -> set[tuple[str, ...]]:
    """Forms of reports that DicomSRValidator was shown: it takes seconds for one."""
    return set()


def stored_and_read(archive: Orthanc, datasets: Sequence[Dataset]) -> list[bytes]:
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


def complaints_of_validators(
    results: Sequence[ResultObject], folder: Path, forms_seen: set[tuple[str, ...]] | None
) -> dict[str, list[str]]:
    """Return what each program has against each object, by file.

    Parameters
    ----------
    forms_seen : None to leave DicomSRValidator out
    """
    found: dict[str, list[str]] = {}
    for number, result in enumerate(results):
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
        if len(str(result.dataset.PatientName).encode()) > NAME_BYTES:
            found[file.name] = [line for line in found[file.name] if not OF_A_NAME.search(line)]
        if forms_seen is not None and result.kind in TEMPLATES:
            short = abridged(result.dataset)
            form = (str(short.SOPClassUID), *form_of(short))
            if form not in forms_seen:
                short.save_as(file, enforce_file_format=True)
                found[file.name] += report_template_complaints(file, TEMPLATES[result.kind])
                forms_seen.add(form)
    return found


def read_strictly(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn every byte of every attribute into its value: one that is illegal raises."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    for file in files:
        assert len(list(pydicom.dcmread(pydicom.filebase.DicomBytesIO(file)).iterall())) > 40


def require_references(
    archive: Orthanc, images: Sequence[Dataset], results: Sequence[ResultObject]
) -> None:
    """Follow every reference of all results, and of those of each profile alone."""
    files = stored_and_read(archive, [*images, *(one.dataset for one in results)])
    count, broken = broken_references(files, by=MANUFACTURER)
    assert broken == []
    assert count >= 2 * len(images)
    by_uid = {
        str(
            pydicom.dcmread(
                pydicom.filebase.DicomBytesIO(file), stop_before_pixels=True
            ).SOPInstanceUID
        ): file
        for file in files
    }
    products = {one.product for one in results}
    for name, profile in PROFILES.items():
        if not products >= {one for one in profile.products if not one.kind.row.may_be_absent}:
            continue
        held = [*images, *(one.dataset for one in results if one.product in profile.products)]
        _, broken = broken_references(
            [by_uid[str(one.SOPInstanceUID)] for one in held], by=MANUFACTURER
        )
        assert broken == [], name


@pytest.mark.parametrize("name", IN_CI)
def test_objects_pass_and_their_references_are_found(
    name: str, archive: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation = EVERY_SITUATION[name]()
    assert {one.kind for one in situation.results} >= {
        ResultKind.MEASUREMENT_REPORT,
        ResultKind.CAD_REPORT,
    }

    complaints = complaints_of_validators(situation.results, tmp_path, None)

    assert complaints == {name: [] for name in complaints}
    read_strictly([bytes_of(one.dataset) for one in situation.results], monkeypatch)
    require_references(archive, situation.images, situation.results)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [*EVERY_SITUATION, "large tomosynthesis"])
def test_objects_of_every_profile_pass_every_validator(
    name: str,
    archive: Orthanc,
    forms_seen: set[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    situation = EVERY_SITUATION.get(name, large_tomosynthesis)()
    results = situation.made_for((EVERY_KIND, *PROFILES.values()))

    complaints = complaints_of_validators(results, tmp_path, forms_seen)

    assert complaints == {name: [] for name in complaints}
    read_strictly([bytes_of(one.dataset) for one in results], monkeypatch)
    require_references(archive, situation.images, results)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_three_revisions_pass_every_validator_and_refer_to_what_the_archive_holds(
    archive: Orthanc,
    forms_seen: set[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second is a retry for changed profiles, the third has a late image and other scores."""

    def pairs(views: Sequence[str], score: float) -> list[tuple[Dataset, object]]:
        mass = finding(marker_mask(60, 150), score=score)
        return [(one, image_of(one, mass)) for one in map(mammogram, views)]

    first = results_of(*pairs(["CC", "MLO"], 0.83), profiles=(OHIF, WORKSTATION))
    second = results_of(
        *pairs(["CC", "MLO"], 0.83),
        profiles=(ALL, EVERY_KIND),
        identity=identity(2),
        former=former_of(first),
    )
    third = results_of(
        *pairs(["CC", "MLO", "ML"], 0.6),
        profiles=(*PROFILES.values(), EVERY_KIND),
        identity=identity(3),
        former=former_of(first, second),
    )
    every = {str(one.dataset.SOPInstanceUID): one for one in (*first, *second, *third)}
    images = [image_file(mammogram(view)) for view in ("CC", "MLO", "ML")]

    complaints = complaints_of_validators(list(every.values()), tmp_path, forms_seen)

    assert complaints == {name: [] for name in complaints}
    read_strictly([bytes_of(one.dataset) for one in every.values()], monkeypatch)
    files = stored_and_read(archive, [*images, *(one.dataset for one in every.values())])
    count, broken = broken_references(files, by=MANUFACTURER)
    assert broken == []
    assert count > 100
