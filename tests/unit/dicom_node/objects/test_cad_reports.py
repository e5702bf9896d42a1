"""A CAD report has the tree of its template, and every reference in it leads where it should."""

import numpy as np
import pytest
from cad_cases import CAD_CASES
from objects_factory import (
    COLUMNS,
    NEGATIVE,
    ROWS,
    bytes_of,
    cad_report_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    region_of,
    standard_views,
)
from pydicom.dataset import Dataset
from sr_reading import (
    child,
    children,
    concept,
    drawn_tree,
    is_reference,
    points_of,
    read_back,
    target_of,
    value_code,
    walk,
)

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.cad_sr.options import CadOptions, CompositionForm, PlainMark, SpacingUnit
from dicom_node.objects.cad_sr.snomed_rt import LEGACY_VALUES, CodingScheme
from dicom_node.objects.references import PredecessorDocument
from mammoclip_core.findings import BreastFindings, ImageStatus

CALCIFICATION = "SCT|309587003|Calcification of breast"
LIBRARY_ROWS = (
    "HAS ACQ CONTEXT CODE 111027 = {breast}",
    "HAS ACQ CONTEXT CODE 111031 = {view}",
    "HAS ACQ CONTEXT TEXT 111044",
    "HAS ACQ CONTEXT TEXT 111043",
    "HAS ACQ CONTEXT DATE 111060",
    "HAS ACQ CONTEXT TIME 111061",
    "HAS ACQ CONTEXT DATE 111018",
    "HAS ACQ CONTEXT TIME 111019",
    "HAS ACQ CONTEXT NUM 111026",
    "HAS ACQ CONTEXT NUM 111066",
)
BREASTS = {"R": "73056007", "L": "80248007"}
VIEWS = {"CC": "399162004", "MLO": "399368009"}
REFERENCES = tuple(f"HAS PROPERTIES by reference 1\\2\\{number}" for number in (1, 2, 3, 4))


def head() -> list[str]:
    lines = [
        "1 CONTAINER 111036",
        "1.1 HAS CONCEPT MOD CODE 121049 = en-US",
        "1.2 CONTAINS CONTAINER 111028",
    ]
    for number, (side, view) in enumerate(standard_views(), start=1):
        lines.append(f"1.2.{number} CONTAINS IMAGE")
        lines += [
            f"1.2.{number}.{row} " + text.format(breast=BREASTS[side], view=VIEWS[view])
            for row, text in enumerate(LIBRARY_ROWS, start=1)
        ]
    return lines


def overall(summary: str) -> list[str]:
    return [
        f"1.3 CONTAINS CODE 111017 = {summary}",
        "1.3.1 HAS PROPERTIES TEXT 111033",
        "1.3.2 HAS PROPERTIES TEXT 111001",
        "1.3.3 HAS PROPERTIES TEXT 111003",
    ]


def performed(place: str, mark: str, *references: str) -> list[str]:
    rows = ("HAS PROPERTIES TEXT 111001", "HAS PROPERTIES TEXT 111003", *references)
    return [
        f"{place} CONTAINS CODE 111022 = {mark}",
        *(f"{place}.{number} {row}" for number, row in enumerate(rows, start=1)),
    ]


def impression(place: str, mark: str, image: int) -> list[str]:
    return [
        f"{place} INFERRED FROM CONTAINER 111034",
        f"{place}.1 HAS CONCEPT MOD CODE 111056 = 111150",
        f"{place}.2 CONTAINS CODE 111059 = {mark}",
        f"{place}.2.1 HAS CONCEPT MOD CODE 111056 = 111150",
        f"{place}.2.2 HAS OBS CONTEXT TEXT 112039",
        f"{place}.2.3 HAS OBS CONTEXT UIDREF 112040",
        f"{place}.2.4 HAS PROPERTIES TEXT 111001",
        f"{place}.2.5 HAS PROPERTIES TEXT 111003",
        f"{place}.2.6 HAS PROPERTIES NUM 111012",
        f"{place}.2.7 HAS PROPERTIES SCOORD 111010",
        f"{place}.2.7.1 SELECTED FROM by reference 1\\2\\{image}",
        f"{place}.2.8 HAS PROPERTIES SCOORD 111041",
        f"{place}.2.8.1 SELECTED FROM by reference 1\\2\\{image}",
    ]


def four_views(
    *, found: bool = False, failed: tuple[str, str] | None = None, **arguments: object
) -> Dataset:
    """Build the report of the examination that the verified trees are of."""
    pairs = []
    for side, view in standard_views():
        dataset = mammogram(view, side, ContentDate="20260102", ContentTime="101501")
        if (side, view) == failed:
            image = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels")
        elif found and (side, view) == ("R", "CC"):
            image = image_of(dataset, finding(marker_mask(200, 150)), _calcification(found=False))
        elif found and (side, view) == ("R", "MLO"):
            image = image_of(dataset, NEGATIVE, _calcification(found=True))
        else:
            image = image_of(dataset, NEGATIVE, _calcification(found=False))
        pairs.append((dataset, image))
    return read_back(cad_report_of(*pairs, **arguments))


def _calcification(*, found: bool):
    masks = (marker_mask(220, 120),) if found else ()
    return finding(
        *masks,
        name="suspicious_calcification",
        code=CALCIFICATION,
        score=0.6 if found else 0.1,
        above_threshold=found,
    )


def one_image(*findings: object, options: CadOptions | None = None, **attributes: object):
    dataset = mammogram(**attributes)
    chosen = {} if options is None else {"options": options}
    return read_back(cad_report_of((dataset, image_of(dataset, *findings)), **chosen))


def marks(report: Dataset) -> list[Dataset]:
    return [item for _, item in walk(report) if concept(item) == "111059"]


def test_tree_without_findings_is_the_verified_one() -> None:
    assert drawn_tree(four_views()) == [
        *head(),
        *overall("111241"),
        "1.4 CONTAINS CODE 111064 = 111222",
        "1.4.1 INFERRED FROM CONTAINER 111063",
        *performed("1.4.1.1", "129793001", *REFERENCES),
        *performed("1.4.1.2", "129769006", *REFERENCES),
        "1.5 CONTAINS CODE 111065 = 111225",
    ]


def test_tree_with_two_findings_is_the_verified_one() -> None:
    assert drawn_tree(four_views(found=True)) == [
        *head(),
        *overall("111242"),
        *impression("1.3.4", "129793001", 1),
        *impression("1.3.5", "129769006", 3),
        "1.4 CONTAINS CODE 111064 = 111222",
        "1.4.1 INFERRED FROM CONTAINER 111063",
        *performed("1.4.1.1", "129793001", *REFERENCES),
        *performed("1.4.1.2", "129769006", *REFERENCES),
        "1.5 CONTAINS CODE 111065 = 111225",
    ]


def test_tree_with_a_failed_image_is_the_verified_one() -> None:
    report = four_views(failed=("L", "MLO"))

    assert drawn_tree(report) == [
        *head(),
        *overall("111243"),
        "1.4 CONTAINS CODE 111064 = 111223",
        "1.4.1 INFERRED FROM CONTAINER 111063",
        *performed("1.4.1.1", "129793001", *REFERENCES[:3]),
        *performed("1.4.1.2", "129769006", *REFERENCES[:3]),
        "1.4.2 INFERRED FROM CONTAINER 111025",
        *performed("1.4.2.1", "129793001", REFERENCES[3]),
        *performed("1.4.2.2", "129769006", REFERENCES[3]),
        "1.5 CONTAINS CODE 111065 = 111225",
    ]
    assert report.CompletionFlag == "PARTIAL"


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


@pytest.mark.parametrize("case", CAD_CASES)
def test_every_reference_leads_to_an_image_of_the_library(case: str) -> None:
    report = read_back(CAD_CASES[case]())
    library = child(report, "111028").ContentSequence

    targets = [target_of(report, item) for _, item in walk(report) if is_reference(item)]

    assert targets
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


@pytest.mark.parametrize("case", CAD_CASES)
def test_every_outline_is_closed(case: str) -> None:
    report = read_back(CAD_CASES[case]())

    outlines = [points_of(item) for _, item in walk(report) if concept(item) == "111041"]

    assert all(points[0] == points[-1] for points in outlines)


@pytest.mark.parametrize("case", CAD_CASES)
def test_every_mark_has_a_tracking_uid_of_its_own(case: str) -> None:
    report = read_back(CAD_CASES[case]())

    uids = [item.UID for _, item in walk(report) if concept(item) == "112040"]

    assert len(uids) == len(set(uids))


def test_center_is_the_centroid_of_the_marker() -> None:
    mask = marker_mask(60, 150)
    report = one_image(finding(mask))

    (center,) = points_of(child(marks(report)[0], "111010"))

    rows, columns = np.nonzero(mask)
    assert center == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5), abs=1.0)


def test_outline_is_the_regions() -> None:
    mask = marker_mask(60, 150)
    report = one_image(finding(mask))

    points = points_of(child(marks(report)[0], "111041"))

    assert points[:-1] == [tuple(point) for point in region_of(mask).outline]


def test_finding_without_a_place_is_not_for_presentation() -> None:
    report = one_image(finding())

    (mark,) = marks(report)

    assert value_code(mark) == "111099"
    assert value_code(child(mark, "111056")) == "111152"
    assert points_of(child(mark, "111010")) == [(COLUMNS / 2, ROWS / 2)]


def test_region_below_its_threshold_is_optional_with_an_operating_point() -> None:
    report = one_image(finding(marker_mask(60, 150), score=0.4, above_threshold=False))

    intent = child(marks(report)[0], "111056")

    assert value_code(intent) == "111151"
    assert child(intent, "111071").MeasuredValueSequence[0].NumericValue == 60
    highest = [item for _, item in walk(report) if concept(item) == "111072"]
    assert [item.MeasuredValueSequence[0].NumericValue for item in highest] == [100]


def test_report_without_optional_marks_has_no_operating_point() -> None:
    assert "111072" not in {concept(item) for _, item in walk(four_views(found=True))}


def test_score_is_a_probability_only_if_calibrated() -> None:
    cancer = {"name": "malignancy", "code": "SCT|21594007|Malignant", "score": 0.5}

    names = [
        [concept(item) for item in marks(one_image(made))[0].ContentSequence]
        for made in (
            finding(marker_mask(60, 150), **cancer),
            finding(marker_mask(60, 150), calibrated=True, **cancer),
        )
    ]

    assert ["111012" in one for one in names] == [True, False]
    assert ["111047" in one for one in names] == [False, True]


def test_selected_region_has_a_description_instead_of_a_probability() -> None:
    report = one_image(
        finding(
            marker_mask(60, 150), name="malignancy", code="SCT|21594007|Malignant", calibrated=True
        ),
        options=CadOptions(plain_mark=PlainMark.SELECTED_REGION),
    )

    (mark,) = marks(report)

    assert value_code(mark) == "111099"
    assert [concept(item) for item in mark.ContentSequence][-1] == "111058"
    assert not children(mark, "111047")


def test_mass_stays_a_density_where_plain_marks_are_selected_regions() -> None:
    options = CadOptions(plain_mark=PlainMark.SELECTED_REGION)

    assert value_code(marks(one_image(finding(marker_mask(60, 150)), options=options))[0]) == (
        "129793001"
    )


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


def test_older_workstations_are_given_older_codes() -> None:
    report = four_views(found=True, options=CadOptions(coding=CodingScheme.SRT))

    schemes = {
        item.ConceptCodeSequence[0].CodingSchemeDesignator
        for _, item in walk(report)
        if item.get("ValueType") == "CODE"
    }
    assert schemes == {"DCM", "SRT", "RFC5646"}
    assert [value_code(mark) for mark in marks(report)] == ["F-01796", "F-01775"]


def test_older_codes_are_the_dictionarys() -> None:
    from pydicom.sr._snomed_dict import mapping

    assert dict(LEGACY_VALUES) == {value: mapping["SCT"][value] for value in LEGACY_VALUES}


def test_meanings_hold_no_invisible_characters() -> None:
    assert b"\xe2\x80\x8b" not in bytes_of(four_views(found=True))


def test_equal_answers_give_equal_bytes() -> None:
    assert bytes_of(four_views(found=True)) == bytes_of(four_views(found=True))


def test_another_coding_is_another_object() -> None:
    first, second = (
        four_views(options=CadOptions(coding=coding)) for coding in (CodingScheme.SCT, "SRT")
    )

    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_changed_report_names_its_predecessor() -> None:
    former = PredecessorDocument(
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        sop_class_uid="1.4",
        sop_instance_uid="1.5",
    )

    report = four_views(predecessor=former)

    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.5"


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


def test_outline_outside_its_image_is_refused() -> None:
    dataset = mammogram(size=(100, 100))

    with pytest.raises(ObjectRefusedError, match="outline"):
        cad_report_of((dataset, image_of(dataset, finding(marker_mask(60, 150)))))
