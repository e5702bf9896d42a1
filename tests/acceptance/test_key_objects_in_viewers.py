"""A study with key images and a rejection note opens in OHIF and in Orthanc as any other."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pydicom
import pytest
from services import wait_for
from shown_results import IMAGE_SHOWN, PHANTOM, Shown, files_in_viewer, phantom_findings

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "dicom_node"))
from former_factory import former_of
from objects_factory import identity

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.products import ALL, Profile
from dicom_node.objects.results import ResultObject, build_results
from dicom_node.objects.sources import SourceInstance
from mammoclip_core.findings import StudyAnalysis

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

KEY_OBJECTS: Final = {ResultKind.KEY_IMAGES, ResultKind.REJECTION_NOTE}
PROFILE: Final = Profile(objects=ALL.objects | KEY_OBJECTS)
NEW_PICTURES: Final = "AI pictures - RESEARCH USE ONLY, rev 2"
OLD_PICTURES: Final = "AI pictures - RESEARCH USE ONLY, rev 1"


def made(
    revision: int, score: float, former: Sequence[FormerResult] = ()
) -> tuple[ResultObject, ...]:
    datasets = [pydicom.dcmread(file) for file in sorted(PHANTOM.glob("*.dcm"))]
    findings = phantom_findings()
    images = tuple(
        replace(
            image,
            findings=tuple(
                replace(one, score=score) if one.above_threshold else one for one in image.findings
            ),
        )
        for image in findings.images
    )
    return build_results(
        [SourceInstance(dataset=one, pixels=one.pixel_array) for one in datasets],
        StudyAnalysis(findings=replace(findings, images=images)),
        identity(revision),
        profiles=(PROFILE,),
        former=former,
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("key_objects")
    first = made(1, 0.83)
    second = made(2, 0.6, former_of(first, held_for=frozenset(PROFILE.products)))
    results: dict[str, list[Path]] = {}
    for result in (*first, *second):
        file = folder / f"{result.dataset.SOPInstanceUID}.dcm"
        result.dataset.save_as(file, enforce_file_format=True)
        results.setdefault(result.kind, []).append(file)
    assert results.keys() >= KEY_OBJECTS
    files = [*PHANTOM.glob("*.dcm"), *(file for files in results.values() for file in files)]
    with files_in_viewer(
        folder, files, results, str(first[0].dataset.StudyInstanceUID)
    ) as in_viewer:
        yield in_viewer


@pytest.mark.parametrize("pictures", [OLD_PICTURES, NEW_PICTURES])
def test_pictures_of_both_revisions_open_in_ohif(shown: Shown, pictures: str) -> None:
    shown.visit()
    page = shown.browser.page

    shown.row(pictures).dblclick()

    page.get_by_text(pictures).nth(1).wait_for(timeout=60_000)
    wait_for(lambda: page.evaluate(IMAGE_SHOWN), seconds=30, what="a picture is shown")
    assert shown.browser.complaints == []


@pytest.mark.parametrize("words", ["AI key images", "AI results retracted"])
def test_ohif_stays_usable_when_a_key_object_is_opened(shown: Shown, words: str) -> None:
    shown.visit()
    page = shown.browser.page
    for row in range(shown.row(words).count()):
        shown.row(words).nth(row).dblclick()

    shown.row(NEW_PICTURES).dblclick()

    page.get_by_text(NEW_PICTURES).nth(1).wait_for(timeout=60_000)
    shown.keep(f"ohif-{words}", shown.browser.pixels())
    assert shown.browser.complaints == []


def test_orthanc_keeps_and_shows_every_object(shown: Shown) -> None:
    page = shown.browser.page
    address = f"http://127.0.0.1:{shown.archive.http_port}"
    (study,) = shown.archive.get("/studies")
    page.goto(f"{address}/app/explorer.html#study?uuid={study}")
    for words in ("AI key images", "AI results retracted", NEW_PICTURES):
        page.get_by_text(words).first.wait_for(timeout=60_000)
    files = {file for files in shown.results.values() for file in files}
    count = len(list(PHANTOM.glob("*.dcm"))) + len(files)

    assert len(shown.archive.instances(shown.study_instance_uid)) == count
