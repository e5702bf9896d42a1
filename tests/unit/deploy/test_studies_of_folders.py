"""Which files of a user's folder the demonstration sends."""

import shutil
from pathlib import Path

import pydicom
import pytest

from deploy.demo.mammograms import find_studies

SAMPLES = Path(__file__).parents[3] / "deploy/demo/studies"


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "a" / "b"
    target.mkdir(parents=True)
    shutil.copy(SAMPLES / "phantom/RCC.dcm", target / "no-suffix")
    return tmp_path


def test_mammogram_is_found_at_any_depth_under_any_name(folder):
    studies, _ = find_studies([folder])

    assert [one.path.name for one in studies[0].instances] == ["no-suffix"]


def test_file_that_is_not_dicom_is_skipped_with_its_reason(folder):
    (folder / "a" / "list.csv").write_text("name;date")

    _, skipped = find_studies([folder])

    assert skipped == {"not DICOM": 1}


def test_object_that_is_not_a_mammogram_is_skipped(folder):
    change(folder / "a/b/no-suffix", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")

    studies, skipped = find_studies([folder])

    assert (studies, skipped) == ([], {"DICOM, but not a mammogram": 1})


def test_own_result_is_never_sent_as_a_mammogram(folder):
    change(
        folder / "a/b/no-suffix",
        Manufacturer="Mammo-CLIP DICOM project",
        ManufacturerModelName="mammoclip-dicom",
    )

    _, skipped = find_studies([folder])

    assert skipped == {"a result of this software": 1}


def test_two_studies_of_one_folder_have_unlike_labels(folder):
    shutil.copy(SAMPLES / "film/RCC.dcm", folder / "a/b/other")

    studies, _ = find_studies([folder])

    assert sorted(study.label for study in studies) == ["b-1", "b-2"]


def test_label_is_safe_as_a_folder_name(tmp_path):
    target = tmp_path / ".. Müller, Anna"
    target.mkdir()
    shutil.copy(SAMPLES / "phantom/RCC.dcm", target)

    studies, _ = find_studies([tmp_path])

    assert studies[0].label == "M_ller_Anna"


@pytest.mark.parametrize("name", ["film", "phantom"])
def test_sample_study_has_the_four_standard_views(name):
    studies, skipped = find_studies([SAMPLES / name])

    assert len(studies) == 1
    assert {one.path.stem for one in studies[0].instances} == {"RCC", "LCC", "RMLO", "LMLO"}
    assert not skipped


def change(path, **attributes):
    dataset = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
