"""Bad input harms nobody else: it is set aside, and the report says what it lacks."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from sample_images import FILM, further, sample
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), bundle)
    with running(site, "archive", "broker", "node", "worker"):
        yield site


def study(number: int) -> dict[str, Dataset]:
    """Return the four views of the film study as another study, uncompressed, by view."""
    views = {}
    for dataset in datasets_of(FILM):
        dataset.decompress(generate_new_instance_uid=False)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:58]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        views[f"{dataset.ImageLaterality}{dataset.ViewPosition}"] = dataset
    return views


def held(site: Site, uid: str) -> dict[str, list[Dataset]]:
    """Return what the archive holds of a study, by modality."""
    by_modality: dict[str, list[Dataset]] = {}
    for content in site.archive.instances(uid):
        dataset = pydicom.dcmread(BytesIO(content))
        by_modality.setdefault(dataset.Modality, []).append(dataset)
    return by_modality


def statuses(site: Site, uid: str) -> dict[str, str]:
    """Return what became of each image by the findings document, by SOP Instance UID."""
    document: dict[str, Any] = json.loads(site.study_record(uid)["analyses"][-1]["findings"])
    return {image["sop_instance_uid"]: image["status"] for image in document["images"]}


def truncated(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]


def wrong_rows(dataset: Dataset) -> None:
    dataset.Rows = dataset.Rows * 2


def no_pixel_data(dataset: Dataset) -> None:
    del dataset.PixelData


def no_laterality(dataset: Dataset) -> None:
    del dataset.ImageLaterality


def no_view(dataset: Dataset) -> None:
    del dataset.ViewPosition
    if "ViewCodeSequence" in dataset:
        del dataset.ViewCodeSequence


def another_patient(dataset: Dataset) -> None:
    dataset.PatientID, dataset.PatientName = "OTHER-1", "Somebody^Else"


SPOILERS = [truncated, wrong_rows, no_pixel_data, no_laterality, no_view, another_patient]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_one_bad_image_of_four_leaves_a_partial_stated_result(site: Site, spoil: Any) -> None:
    views = study(100 + SPOILERS.index(spoil))
    spoil(views["LCC"])
    uid = views["RCC"].StudyInstanceUID
    first_comes_the_patient = [views[name] for name in ("RCC", "RMLO", "LMLO", "LCC")]

    assert all_stored(send(first_comes_the_patient, site.node_port))
    site.wait_for_condition(uid, "delivered")

    results = held(site, uid)
    (report,) = results["SR"]
    assert len(results["OT"]) == 3
    assert report.CompletionFlag == "PARTIAL"
    assert statuses(site, uid)[views["LCC"].SOPInstanceUID] == "failed"
    assert {str(one.PatientID) for one in results["OT"]} == {str(views["RCC"].PatientID)}


def test_spoilt_objects_never_stop_the_next_study(site: Site) -> None:
    views = study(200)
    rubbish = study(201)["RCC"]
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        rubbish.StudyInstanceUID = "../../etc/passwd"
    uid = views["RCC"].StudyInstanceUID

    assert all_stored(send([rubbish], site.node_port))
    assert all_stored(send(views.values(), site.node_port))
    site.wait_for_condition(uid, "delivered")

    assert len(held(site, uid)["OT"]) == 4
    aside = json.loads(site.run("studies", "--json").stdout)["set_aside"]
    assert "invalid-uid" in {one["reason"] for one in aside}


def test_study_without_a_readable_image_fails_with_its_reason(site: Site) -> None:
    views = study(300)
    for dataset in views.values():
        truncated(dataset)
    uid = views["RCC"].StudyInstanceUID

    assert all_stored(send(views.values(), site.node_port))
    site.wait_for_condition(uid, "failed")

    summary = site.studies()[uid]
    assert "no image could be analysed" in summary["reason"]
    assert held(site, uid) == {}
    assert site.run("retry", uid).returncode == 0


def test_late_image_makes_a_new_revision_that_names_its_predecessor(site: Site) -> None:
    views = study(400)
    late = views.pop("LMLO")
    uid = late.StudyInstanceUID

    assert all_stored(send(views.values(), site.node_port))
    site.wait_for_condition(uid, "delivered")
    assert all_stored(send([late], site.node_port))
    wait_for(lambda: site.summary(uid).revision == 2, seconds=60, what="the study is revised")
    site.wait_for_condition(uid, "delivered")

    reports = sorted(held(site, uid)["SR"], key=lambda report: int(report.InstanceNumber))
    assert len(reports) == 2
    (former,) = reports[1].PredecessorDocumentsSequence
    (series,) = former.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert instance.ReferencedSOPInstanceUID == reports[0].SOPInstanceUID
    assert reports[0].SeriesInstanceUID == reports[1].SeriesInstanceUID


def film_as_secondary_capture() -> Dataset:
    """Return a view under the headers that film scanners write."""
    view = study(700)["LCC"]
    view.SOPClassUID = view.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    view.ConversionType = "DF"
    view.PatientOrientation = "CC"
    del view.PresentationIntentType
    return view


def film_as_published() -> Dataset:
    (image, *_) = datasets_of(sample("open/film_headers_as_published"))
    return image


@pytest.mark.parametrize("film", [film_as_secondary_capture, further(film_as_published)])
def test_film_as_secondary_capture_is_analysed_from_its_configured_sender_only(
    site: Site, film: Callable[[], Dataset]
) -> None:
    image = film()
    uid = image.StudyInstanceUID

    assert all_stored(send([image], site.node_port, calling="SCANNER"))
    wait_for(lambda: site.summary(uid), seconds=60, what="the study is known")
    (kept,) = site.study_record(uid)["instances"]
    assert (kept["state"], kept["reason"]) == ("set_aside", "not-a-mammogram")
    assert all_stored(send([image], site.node_port, calling="FILM"))
    site.wait_for_condition(uid, "delivered")

    assert len(held(site, uid)["OT"]) == 1


def cr_mammogram() -> Dataset:
    """Return a view under the headers that older CR systems write."""
    view = study(710)["LCC"]
    view.SOPClassUID = view.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    view.Modality, view.BodyPartExamined, view.Laterality = "CR", "BREAST", "L"
    for keyword in ("PresentationIntentType", "ImageLaterality", "ViewCodeSequence"):
        view.pop(keyword, None)
    return view


def test_mammogram_of_an_older_cr_system_is_analysed_from_its_configured_sender_only(
    site: Site,
) -> None:
    image = cr_mammogram()
    uid = image.StudyInstanceUID

    assert all_stored(send([image], site.node_port, calling="SCANNER"))
    site.wait_for_condition(uid, "nothing-to-analyse")
    (kept,) = site.study_record(uid)["instances"]
    assert (kept["state"], kept["reason"]) == ("set_aside", "radiograph")
    assert "1 object set aside: a mammogram in Computed" in site.studies()[uid]["reason"]
    assert all_stored(send([image], site.node_port, calling="CR"))
    site.wait_for_condition(uid, "delivered")

    assert len(held(site, uid)["OT"]) == 1


def test_study_that_is_sent_again_with_its_patient_corrected_is_delivered_under_the_new_name(
    site: Site,
) -> None:
    views = study(720)
    uid = views["RCC"].StudyInstanceUID
    assert all_stored(send(views.values(), site.node_port))
    site.wait_for_condition(uid, "delivered")

    for view in views.values():
        view.PatientName, view.PatientID = "Corrected^Carla", "CORRECT-1"
        view.PatientBirthDate = "19610407"
    assert all_stored(send(views.values(), site.node_port))
    wait_for(lambda: site.summary(uid).revision == 2, seconds=60, what="the study is revised")
    site.wait_for_condition(uid, "delivered")

    newest = max(held(site, uid)["SR"], key=lambda report: int(report.InstanceNumber))
    assert (newest.PatientName, newest.PatientID) == ("Corrected^Carla", "CORRECT-1")
    assert newest.PredecessorDocumentsSequence
    assert "4 of 4 images corrected" in site.studies()[uid]["reason"]


def test_results_that_the_archive_sends_round_change_nothing(site: Site) -> None:
    views = study(500)
    uid = views["RCC"].StudyInstanceUID
    assert all_stored(send(views.values(), site.node_port))
    site.wait_for_condition(uid, "delivered")
    before = site.studies()[uid]
    found = site.archive.post("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": uid}})

    job = site.archive.post("/modalities/node/store", {"Resources": found, "Synchronous": True})

    assert job["FailedInstancesCount"] == 0
    assert site.studies()[uid] == before


def test_retry_of_a_delivered_study_gives_equal_objects(site: Site) -> None:
    views = study(600)
    uid = views["RCC"].StudyInstanceUID
    assert all_stored(send(views.values(), site.node_port))
    site.wait_for_condition(uid, "delivered")
    before = sorted(site.archive.instances(uid))

    assert site.run("retry", uid).returncode == 0
    wait_for(lambda: site.summary(uid).revision == 2, seconds=60, what="the study is revised")
    site.wait_for_condition(uid, "delivered")

    assert sorted(site.archive.instances(uid)) == before
