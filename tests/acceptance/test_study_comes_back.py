"""The main job: a study sent by C-STORE is back in the archive as SR, SEG and Secondary Capture."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from pydicom.dataset import Dataset
from sample_images import FURTHER, sample
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for
from validators import dciodvfy_errors, dump_of_report, report_template_complaints

SR = "1.2.840.10008.5.1.4.1.1.88.34"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SC = "1.2.840.10008.5.1.4.1.1.7"

FOLDERS = ("film", "phantom", *(("four_views", "full_field") if FURTHER else ()))

pytestmark = pytest.mark.timeout(900)


class Delivered:
    """What the archive holds of the studies after the node's work, by study folder."""

    def __init__(self, site: Site, sources: dict[str, list[Dataset]]) -> None:
        self.site = site
        self.sources = sources
        self.uids = {name: sent[0].StudyInstanceUID for name, sent in sources.items()}
        self.files = {name: site.archive.instances(uid) for name, uid in self.uids.items()}

    def objects(self, folder: str, sop_class: str) -> list[Dataset]:
        every = [pydicom.dcmread(BytesIO(content)) for content in self.files[folder]]
        return [dataset for dataset in every if dataset.SOPClassUID == sop_class]

    def findings(self, folder: str) -> dict[str, Any]:
        import json

        analyses = self.site.study_record(self.uids[folder])["analyses"]
        return json.loads(analyses[-1]["findings"])


@pytest.fixture(scope="module", params=["dicom and SQLite", "dicomweb and PostgreSQL"])
def delivered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bundle: Path
) -> Iterator[Delivered]:
    sources = {name: datasets_of(sample(name)) for name in FOLDERS}
    destination, _, database = request.param.partition(" and ")
    site = Site(
        tmp_path_factory.mktemp("site"),
        bundle,
        destination=destination,
        ledger_url=(
            request.getfixturevalue("postgresql").new_database() if database == "PostgreSQL" else ""
        ),
    )
    # The last block of the settings is that of the destination.
    confirm = {"dicom": "commitment", "dicomweb": "query"}[destination]
    site.config.write_text(f'{site.config.read_text()}\nconfirm = "{confirm}"\n')
    with running(site, "archive", "broker", "node", "worker"):
        for sent in sources.values():
            assert all_stored(send(sent, site.node_port))
        for sent in sources.values():
            site.wait_for_condition(sent[0].StudyInstanceUID, "delivered")
        yield Delivered(site, sources)


@pytest.mark.parametrize("folder", FOLDERS)
def test_archive_proves_what_it_was_sent(delivered: Delivered, folder: str) -> None:
    def has_proven() -> bool:
        summary = delivered.site.summary(delivered.uids[folder])
        return summary is not None and summary.proof in {"confirmed", "committed"}

    wait_for(has_proven, seconds=60, what="the archive has proven that it holds the results")
    deliveries = delivered.site.study_record(delivered.uids[folder])["deliveries"]
    confirm = delivered.site.config.read_text().split("confirm = ")[1].split('"')[1]
    assert {one["state"] for one in deliveries} == {
        {"commitment": "committed", "query": "confirmed"}[confirm]
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_study_has_one_report_and_a_picture_for_each_image(
    delivered: Delivered, folder: str
) -> None:
    source_uids = {dataset.SOPInstanceUID for dataset in delivered.sources[folder]}

    reports = delivered.objects(folder, SR)
    pictures = delivered.objects(folder, SC)

    assert len(reports) == 1
    pictured = [picture.SourceImageSequence[0].ReferencedSOPInstanceUID for picture in pictures]
    assert sorted(pictured) == sorted(source_uids)


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_images_with_a_region_have_a_segmentation(delivered: Delivered, folder: str) -> None:
    with_region = {
        image["sop_instance_uid"]
        for image in delivered.findings(folder)["images"]
        if any(finding["regions"] for finding in image["findings"])
    }

    segmentations = delivered.objects(folder, SEG)

    segmented = [
        item.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
        for item in segmentations
    ]
    assert sorted(segmented) == sorted(with_region)


def test_images_with_and_without_a_region_both_occur(delivered: Delivered) -> None:
    images = [image for name in FOLDERS for image in delivered.findings(name)["images"]]

    regions = [any(one["regions"] for one in image["findings"]) for image in images]

    assert any(regions)
    assert not all(regions)


@pytest.mark.parametrize("folder", FOLDERS)
def test_results_stand_in_the_patients_study(delivered: Delivered, folder: str) -> None:
    source = delivered.sources[folder][0]
    results = [one for kind in (SR, SEG, SC) for one in delivered.objects(folder, kind)]

    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate"):
        assert {str(one.get(keyword, "")) for one in results} == {str(source.get(keyword, ""))}


@pytest.mark.parametrize("folder", FOLDERS)
def test_report_refers_to_every_image_and_result(delivered: Delivered, folder: str) -> None:
    (report,) = delivered.objects(folder, SR)
    made = [*delivered.objects(folder, SEG), *delivered.objects(folder, SC)]
    expected = {one.SOPInstanceUID for one in [*delivered.sources[folder], *made]}

    referenced = {
        instance.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }

    assert referenced == expected


@pytest.mark.validators
@pytest.mark.parametrize("folder", FOLDERS)
def test_dciodvfy_finds_no_error_in_any_result(
    delivered: Delivered, folder: str, tmp_path: Path
) -> None:
    complaints = {}
    for number, content in enumerate(delivered.files[folder]):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(content)
        complaints[number] = dciodvfy_errors(file)

    assert not any(complaints.values()), complaints


@pytest.mark.validators
def test_report_follows_its_template(delivered: Delivered, tmp_path: Path) -> None:
    (report,) = delivered.objects("film", SR)
    file = tmp_path / "report.dcm"
    report.save_as(file)

    complaints = report_template_complaints(file, "TID_1500")

    assert complaints == []


@pytest.mark.validators
@pytest.mark.parametrize("folder", FOLDERS)
def test_dcmtk_reads_the_report(delivered: Delivered, folder: str, tmp_path: Path) -> None:
    (report,) = delivered.objects(folder, SR)
    file = tmp_path / "report.dcm"
    report.save_as(file)

    text = dump_of_report(file)

    assert "Imaging Measurement Report" in text


@pytest.mark.parametrize("folder", FOLDERS)
def test_qido_counts_the_results(delivered: Delivered, folder: str) -> None:
    uid = delivered.uids[folder]
    url = f"{delivered.site.archive.dicomweb_url}/studies/{uid}/instances"

    found = requests.get(url, timeout=30).json()

    assert len(found) == len(delivered.files[folder])


def test_every_result_says_that_it_means_nothing(delivered: Delivered) -> None:
    results = [one for kind in (SR, SEG, SC) for one in delivered.objects("film", kind)]

    for one in results:
        text = str(one)
        assert "UNTRAINED" in text
        assert "RESEARCH USE" in text.upper()


def test_no_patient_data_is_in_any_log(delivered: Delivered) -> None:
    site = delivered.site
    logs = site.node.output() + site.worker.output()

    for sent in delivered.sources.values():
        for word in (sent[0].PatientID, *str(sent[0].PatientName).split("^")):
            assert len(word) < 3 or word not in logs
