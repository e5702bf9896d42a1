"""What is said of a folder is what the node does with it."""

from pathlib import Path
from typing import Any

import pytest
from files_on_disk import dicom_file, on_disk
from node_factory import (
    SECONDARY_CAPTURE,
    SOMEBODY_ELSE,
    STUDY_UID,
    TOMOSYNTHESIS,
    four_views,
    mammogram,
)

from dicom_node.receive.files.inspection import Answer, Fate, Inspection, inspect_files
from dicom_node.settings.model import ModelSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings

CT = "1.2.840.10008.5.1.4.1.1.2"


def inspected(folder: Path, **receive: Any) -> Inspection:
    return inspect_files(
        [folder],
        receive=ReceiveSettings(**receive),
        model=ModelSettings(),
        calling_ae_title="SUBMIT",
    )


def test_screening_study_can_be_analysed(tmp_path: Path) -> None:
    found = inspected(on_disk(tmp_path, *four_views()))

    (study,) = found.studies
    assert (study.study_instance_uid, study.answer) == (STUDY_UID, Answer.YES)
    assert study.missing_views == ()
    assert {(one.view, one.fate) for one in study.files} == {
        (view, Fate.TAKEN) for view in ("R CC", "L CC", "R MLO", "L MLO")
    }
    assert found.is_whole


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_each_object_has_its_fate_and_reason(tmp_path: Path) -> None:
    twin = mammogram("CC")
    on_disk(
        tmp_path,
        twin,
        twin,
        mammogram("MLO", SOPClassUID=TOMOSYNTHESIS),
        mammogram("MLO", SOPClassUID=SECONDARY_CAPTURE),
        mammogram(SOPClassUID=SECONDARY_CAPTURE, without=["ViewPosition"]),
        mammogram("MLO", SOPClassUID=CT),
        mammogram("MLO", without=["ImageLaterality"]),
        mammogram("MLO", EstimatedRadiographicMagnificationFactor="1.8"),
        mammogram("MLO", "R", **SOMEBODY_ELSE),
        mammogram("MLO", "R", without=["PixelData"]),
    )
    (tmp_path / "bad-uid.dcm").write_bytes(dicom_file(mammogram(SOPInstanceUID="../x")))

    found = inspected(tmp_path)

    (study,) = found.studies
    assert [(one.fate, one.reason) for one in study.files] == [
        (Fate.TAKEN, ""),
        (Fate.REPEATED, "another file here has the same SOP Instance UID"),
        (
            Fate.LEFT_OUT,
            "set aside: Breast Tomosynthesis is not analysed unless the settings say how",
        ),
        (
            Fate.KEPT,
            "Secondary Capture Image Storage is kept, but not analysed unless the settings name "
            "its sender",
        ),
        (Fate.KEPT, "Secondary Capture Image Storage is kept, but not analysed"),
        (Fate.REFUSED, "CT Image Storage is not taken: no study of mammograms holds it"),
        (Fate.FAILED, "set aside: the image does not say which breast it shows"),
        (Fate.LEFT_OUT, "magnification view"),
        (Fate.FAILED, "set aside: the study of this Study Instance UID belongs to another patient"),
        (Fate.FAILED, "set aside: the image has no pixel data"),
        (Fate.FAILED, "SOPInstanceUID is not a UID"),
    ]
    assert (study.answer, study.missing_views) == (Answer.PARTLY, ("R CC", "R MLO", "L MLO"))
    assert not found.is_whole


@pytest.mark.parametrize(("images", "reason"), [(1, "1 image"), (2, "2 images")])
def test_images_are_counted_in_words(tmp_path: Path, images: int, reason: str) -> None:
    (study,) = inspected(on_disk(tmp_path, *four_views()[:images])).studies

    assert study.reason == f"{reason} to analyse"


def test_study_without_mammograms_says_why_it_cannot_be_analysed(tmp_path: Path) -> None:
    on_disk(tmp_path, mammogram(SOPClassUID=TOMOSYNTHESIS))

    (study,) = inspected(tmp_path).studies

    assert study.answer is Answer.NO
    assert study.reason.startswith("no image to analyse; left out: set aside: Breast Tomo")


def test_settings_that_name_a_sender_count_for_the_one_given(tmp_path: Path) -> None:
    images = [mammogram(SOPClassUID=SECONDARY_CAPTURE)]
    on_disk(tmp_path, *images, SendingApplicationEntityTitle="FILM")

    (study,) = inspected(tmp_path, secondary_capture_senders=["SUBMIT"]).studies
    (of_the_file,) = inspected(tmp_path, secondary_capture_senders=["FILM"]).studies

    assert (study.answer, of_the_file.answer) == (Answer.YES, Answer.NO)


@pytest.mark.parametrize("name", ["image.dcm", "bare"])
def test_file_that_may_be_an_image_and_is_none_is_amiss(tmp_path: Path, name: str) -> None:
    on_disk(tmp_path, *four_views())
    (tmp_path / name).write_bytes(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100")

    assert not inspected(tmp_path).is_whole


def test_folder_without_a_study_is_not_whole(tmp_path: Path) -> None:
    assert not inspected(tmp_path).is_whole
