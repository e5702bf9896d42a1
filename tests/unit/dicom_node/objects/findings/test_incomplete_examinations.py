"""What an examination lacks is told in words, the same in every kind of result."""

from dataclasses import replace

import pytest
from objects_factory import (
    NEGATIVE,
    cad_report_of,
    image_of,
    mammogram,
    results_of,
    standard_views,
    study_of,
)
from pydicom.dataset import Dataset
from sr_reading import read_back, walk

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.findings.examination import examination_remarks
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import BreastFindings, ImageFindings, ImageStatus

Pair = tuple[Dataset, ImageFindings]


def pairs_of(*views: tuple[str, str], **attributes: object) -> list[Pair]:
    datasets = [
        mammogram(view, side, SOPInstanceUID=uid_of("test", str(number)), **attributes)
        for number, (side, view) in enumerate(views)
    ]
    return [(dataset, image_of(dataset, NEGATIVE)) for dataset in datasets]


def remarks_on(pairs: list[Pair]) -> tuple[str, ...]:
    sources = {str(dataset.SOPInstanceUID): dataset for dataset, _ in pairs}
    return examination_remarks(study_of(*(image for _, image in pairs)), sources)


def test_nothing_is_said_of_four_views() -> None:
    assert remarks_on(pairs_of(*standard_views())) == ()


def test_one_breast_is_told_with_the_result_that_is_not_given() -> None:
    remarks = remarks_on(pairs_of(("L", "CC"), ("L", "MLO")))

    assert remarks == ("No result for the right breast: no image of it was analysed.",)


def test_missing_view_is_told_with_what_the_result_rests_on() -> None:
    remarks = remarks_on(pairs_of(*standard_views()[:3]))

    assert remarks == ("The result of the left breast rests on CC alone: MLO is missing.",)


@pytest.mark.parametrize("aggregation", ["highest of its images", "mean of its images"])
def test_repeated_view_is_told_with_the_rule_of_the_answer(aggregation: str) -> None:
    pairs = pairs_of(*standard_views(), ("R", "CC"))
    scores = tuple(
        BreastFindings(laterality=side, findings=(replace(NEGATIVE, aggregation=aggregation),))
        for side in "RL"
    )

    (remark,) = examination_remarks(study_of(*(image for _, image in pairs), breasts=scores), {})

    assert remark == (
        "2 images of R CC were analysed: each has its own answer "
        f"(score of the breast: {aggregation})."
    )


def test_repeated_view_of_an_answer_without_breasts_is_told_without_a_rule() -> None:
    (remark,) = remarks_on(pairs_of(*standard_views(), ("R", "CC")))

    assert remark == "2 images of R CC were analysed: each has its own answer."


@pytest.mark.parametrize("standard", [standard_views(), standard_views()[:2], ()])
def test_further_view_is_named_whatever_standard_views_there_are(
    standard: tuple[tuple[str, str], ...],
) -> None:
    *_, remark = remarks_on(pairs_of(*standard, ("R", "ML")))

    assert remark == "Analysed, but none of the four standard views: R ML."


def test_special_view_is_not_taken_for_the_view_that_is_missing() -> None:
    pairs = pairs_of(*standard_views())
    header, answer = pairs[1]
    pairs[1] = (header, replace(answer, view_modifiers=("spot compression", "magnification")))

    assert remarks_on(pairs) == (
        "The result of the left breast rests on CC spot compression, magnification and MLO alone: "
        "CC is missing.",
        "Analysed, but none of the four standard views: L CC spot compression, magnification.",
    )


def test_partial_view_is_told() -> None:
    pairs = pairs_of(*standard_views())
    pairs[3][0].PartialView = "YES"

    assert remarks_on(pairs) == ("Not the whole breast, as the image says (Partial View): L MLO.",)


def test_image_of_another_day_is_told() -> None:
    pairs = pairs_of(*standard_views(), AcquisitionDate="20260102")
    pairs[0][0].AcquisitionDate = "20240105"
    pairs[1][0].AcquisitionDate = ""
    pairs[1][0].AcquisitionDateTime = "20240105093000.000000"

    assert remarks_on(pairs) == (
        "Taken on 2024-01-05, and not on 2026-01-02 as others: R CC, L CC. "
        "The scores of breast and examination rest on all of them.",
    )


@pytest.mark.parametrize("day", ["20260101", "20260102", ""])
def test_image_of_the_same_night_or_of_no_day_is_not_of_another_day(day: str) -> None:
    pairs = pairs_of(*standard_views(), AcquisitionDate="20260102")
    pairs[0][0].AcquisitionDate = day

    assert remarks_on(pairs) == ()


@pytest.mark.parametrize("side", ["", "B"])
def test_image_that_may_show_a_breast_is_not_denied(side: str) -> None:
    remarks = remarks_on(pairs_of((side, "CC"), (side, "MLO")))

    assert remarks[:2] == tuple(
        f"No result for the {name} breast by itself: no analysed image is known to show it alone."
        for name in ("right", "left")
    )


def test_implant_is_told() -> None:
    (remark,) = remarks_on(pairs_of(*standard_views(), BreastImplantPresent="YES"))

    assert remark.startswith("Breast implant: the scores of R CC, L CC, R MLO, L MLO")


@pytest.mark.parametrize(
    ("status", "fate"), [(ImageStatus.FAILED, "failed"), (ImageStatus.LEFT_OUT, "left out")]
)
def test_unused_image_is_told_with_its_reason(status: ImageStatus, fate: str) -> None:
    pairs = pairs_of(*standard_views(), ("R", "CC"))
    dataset, image = pairs[-1]
    pairs[-1] = (
        dataset,
        replace(image, findings=(), status=status, reason="the pixels are cut off"),
    )

    (remark,) = remarks_on(pairs)

    assert remark == (
        f"Image {fate}: R CC, SOP Instance UID {dataset.SOPInstanceUID}: the pixels are cut off."
    )


def test_remark_on_an_analysed_image_is_passed_on() -> None:
    pairs = pairs_of(*standard_views())
    dataset, image = pairs[0]
    pairs[0] = (dataset, replace(image, reason="For Processing image"))

    assert remarks_on(pairs) == ("R CC: For Processing image.",)


def test_every_kind_of_report_says_the_same() -> None:
    pairs = pairs_of(("L", "CC"))
    expected = remarks_on(pairs)
    assert len(expected) == 2

    reports = [
        read_back(cad_report_of(*pairs)),
        *(
            read_back(result.dataset)
            for result in results_of(*pairs)
            if result.kind is ResultKind.MEASUREMENT_REPORT
        ),
    ]

    for report in reports:
        text = "\n".join(str(item.get("TextValue", "")) for _, item in walk(report))
        assert all(remark in text for remark in expected)
