"""The summary of a CAD report follows from what was found and from which images were read."""

import pytest
from cad_reports_read import four_views, marks
from objects_factory import NEGATIVE, cad_report_of, image_of, mammogram
from sr_reading import child, concept, read_back, value_code

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.cad_sr.options import CadOptions, CompositionForm
from mammoclip_core.findings import BreastFindings, ImageStatus


def test_failed_image_beside_findings_is_told_as_both() -> None:
    report = four_views(found=True, failed=("L", "MLO"))

    assert value_code(child(report, "111017")) == "111244"


def test_all_images_failed_is_told_as_such() -> None:
    dataset = mammogram()
    failure = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels")

    report = read_back(cad_report_of((dataset, failure)))

    assert value_code(child(report, "111017")) == "111245"
    assert value_code(child(report, "111064")) == "111224"
    assert [concept(item) for item in child(report, "111064").ContentSequence] == ["111025"]


def test_density_is_told_in_words_without_making_the_report_positive() -> None:
    dataset = mammogram()
    breast = BreastFindings(laterality="L", findings=(NEGATIVE,), density="C")

    report = read_back(cad_report_of((dataset, image_of(dataset, NEGATIVE)), breasts=(breast,)))

    assert (
        "Density of the left breast: BI-RADS C."
        in child(child(report, "111017"), "111033").TextValue
    )
    assert value_code(child(report, "111017")) == "111241"
    assert value_code(child(report, "111065")) == "111222"


def test_density_may_be_a_coded_finding() -> None:
    dataset = mammogram()
    breast = BreastFindings(laterality="L", findings=(NEGATIVE,), density="C")

    report = read_back(
        cad_report_of(
            (dataset, image_of(dataset, NEGATIVE)),
            breasts=(breast,),
            options=CadOptions(composition=CompositionForm.CODED),
        )
    )

    (mark,) = marks(report)
    assert value_code(mark) == "129715009"
    assert value_code(child(mark, "129715009")) == "129718006"


def test_image_that_was_left_out_is_told_of_in_words_only() -> None:
    good, other = mammogram("CC"), mammogram("MLO")
    left_out = image_of(other, status=ImageStatus.LEFT_OUT, reason="a copy")

    report = read_back(cad_report_of((good, image_of(good, NEGATIVE)), (other, left_out)))

    assert len(child(report, "111028").ContentSequence) == 1
    assert "Image left out: L MLO" in child(child(report, "111017"), "111033").TextValue


def test_study_of_nothing_but_left_out_images_is_refused() -> None:
    dataset = mammogram()
    left_out = image_of(dataset, status=ImageStatus.LEFT_OUT, reason="a copy")

    with pytest.raises(ObjectRefusedError, match="no image"):
        cad_report_of((dataset, left_out))
