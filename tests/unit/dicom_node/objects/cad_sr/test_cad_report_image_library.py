"""A CAD report lists its images once, and every reference leads to one of them."""

import pytest
from cad_cases import CAD_CASES
from cad_reports_read import one_image
from objects_factory import NEGATIVE
from sr_reading import child, concept, is_reference, read_back, target_of, walk

from dicom_node.objects.cad_sr.options import CadOptions, SpacingUnit


@pytest.mark.parametrize("case", CAD_CASES)
def test_every_reference_leads_to_an_image_of_the_library(case: str) -> None:
    report = read_back(CAD_CASES[case]())
    library = child(report, "111028").ContentSequence

    targets = [target_of(report, item) for _, item in walk(report) if is_reference(item)]

    assert bool(targets) == (case not in {"finding without a place", "score of a breast"})
    assert all(target in library for target in targets)


@pytest.mark.parametrize("case", CAD_CASES)
def test_no_mark_names_its_image_by_value(case: str) -> None:
    report = read_back(CAD_CASES[case]())

    images = [path for path, item in walk(report) if item.get("ValueType") == "IMAGE"]

    assert {path[:2] for path in images} == {(1, 2)}


@pytest.mark.parametrize("case", CAD_CASES)
def test_every_image_is_evidence(case: str) -> None:
    report = read_back(CAD_CASES[case]())

    evidence = {
        instance.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }

    library = {
        entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for entry in child(report, "111028").ContentSequence
    }
    assert evidence == library


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [(SpacingUnit.MICROMETER, 100, "um"), (SpacingUnit.MILLIMETER, 0.1, "mm")],
)
def test_spacing_is_told_in_the_chosen_unit(unit: SpacingUnit, value: float, words: str) -> None:
    report = one_image(NEGATIVE, options=CadOptions(spacing_unit=unit))

    spacing = [item for _, item in walk(report) if concept(item) == "111026"]

    (measured,) = spacing[0].MeasuredValueSequence
    assert measured.NumericValue == value
    assert measured.MeasurementUnitsCodeSequence[0].CodeValue == words


def test_horizontal_spacing_is_the_second_value() -> None:
    report = one_image(NEGATIVE, ImagerPixelSpacing=[0.07, 0.05])

    (item,) = [item for _, item in walk(report) if concept(item) == "111026"]

    assert item.MeasuredValueSequence[0].NumericValue == 50
