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
from mammoclip_core.findings import ImageFindings, ImageStatus

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


def test_repeated_view_is_told_with_the_rule() -> None:
    (remark,) = remarks_on(pairs_of(*standard_views(), ("R", "CC")))

    assert remark.startswith("View R CC was taken 2 times")


def test_further_view_is_named() -> None:
    (remark,) = remarks_on(pairs_of(*standard_views(), ("R", "ML")))

    assert remark == "Analysed beside the four standard views: R ML."


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
