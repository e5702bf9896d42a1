"""A measurement report names the images it rests on and those that were not read."""

import pytest
from measurement_reports_read import concept_name, items, report_of, text_of, values_of
from objects_factory import NEGATIVE, image_of, mammogram, results_of
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from mammoclip_core.findings import ImageStatus


def test_failed_image_is_named_with_its_reason() -> None:
    text = text_of(report_of("failed image"))

    assert f"Image failed: L MLO, SOP Instance UID {mammogram('MLO').SOPInstanceUID}" in text
    assert "the pixel data are cut off - 3 of 4" in text


def test_left_out_image_is_named_but_not_listed_unless_it_is_a_mammogram() -> None:
    report = report_of("left-out image")

    images = [
        i for i in items(report) if i.ValueType == "IMAGE" and concept_name(i)[0] == "260753009"
    ]
    assert "Image left out: L MLO" in text_of(report)
    assert {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in images} == {
        mammogram("CC").SOPInstanceUID
    }


def test_library_tells_side_view_and_orientation() -> None:
    report = report_of("one finding")

    assert values_of(report, "111027") == ["7771000"]
    assert values_of(report, "111031") == ["399368009"]
    assert (values_of(report, "111044"), values_of(report, "111043")) == (["A"], ["FR"])


def test_view_modifier_of_an_older_coding_is_mapped() -> None:
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = "R-102D6", "SRT"
    modifier.CodeMeaning = "Magnification"
    dataset = mammogram()
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [modifier]

    report = results_of((dataset, image_of(dataset, NEGATIVE)))[-1].dataset

    assert values_of(report, "111032") == ["399163009"]


def test_study_of_which_nothing_was_read_is_refused() -> None:
    dataset = mammogram()
    left_out = image_of(dataset, status=ImageStatus.LEFT_OUT, reason="a specimen")

    with pytest.raises(ObjectRefusedError, match="no image of study"):
        results_of((dataset, left_out))


def test_mammogram_that_was_left_out_is_listed_without_what_it_lacks() -> None:
    good = mammogram("CC")
    bad = mammogram("MLO", without=("ImagerPixelSpacing", "PatientOrientation"))
    left_out = image_of(bad, status=ImageStatus.LEFT_OUT, reason="no pixels")

    report = results_of((good, image_of(good, NEGATIVE)), (bad, left_out))[-1].dataset

    assert values_of(report, "111031") == ["399162004", "399368009"]


def test_mammogram_without_a_size_is_told_of_in_words_only() -> None:
    good = mammogram("CC")
    bad = mammogram("MLO", without=("Rows", "Columns"))
    left_out = image_of(bad, status=ImageStatus.LEFT_OUT, reason="no pixels")

    report = results_of((good, image_of(good, NEGATIVE)), (bad, left_out))[-1].dataset

    assert values_of(report, "111031") == ["399162004"]
    assert f"Image left out: L MLO, SOP Instance UID {bad.SOPInstanceUID}" in text_of(report)
