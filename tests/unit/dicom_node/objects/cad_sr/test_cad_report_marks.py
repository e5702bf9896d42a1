"""A mark of a CAD report lies on its finding and says how certain it is."""

from dataclasses import replace

import numpy as np
import pytest
from cad_cases import CAD_CASES
from cad_reports_read import four_views, marks, one_image
from objects_factory import (
    cad_report_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    region_of,
)
from sr_reading import child, children, concept, points_of, read_back, value_code, walk

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.cad_sr.options import CadOptions, PlainMark
from mammoclip_core.findings import LocalisationMethod


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


def test_outline_outside_its_image_is_refused() -> None:
    dataset = mammogram(size=(100, 100))

    with pytest.raises(ObjectRefusedError, match="outline"):
        cad_report_of((dataset, image_of(dataset, finding(marker_mask(60, 150)))))


@pytest.mark.parametrize("code", ["309587003", "129769006", "129770007"])
def test_attention_over_calcifications_is_a_region(code: str) -> None:
    made = finding(
        marker_mask(60, 150), name="suspicious_calcification", code=f"SCT|{code}|Something"
    )

    report = one_image(made)

    (mark,) = marks(report)
    assert value_code(mark) == "111099"
    said = child(mark, "111058").TextValue
    assert said == "suspicious calcification, AI attention region"
    performed = [item for _, item in walk(report) if concept(item) == "111022"]
    assert [value_code(item) for item in performed] == ["111099"]


def test_box_of_a_counted_cluster_is_a_cluster() -> None:
    counted = replace(
        finding(marker_mask(60, 150), code="SCT|129769006|Calcification Cluster"),
        method=LocalisationMethod.BOX,
    )

    assert value_code(marks(one_image(counted))[0]) == "129769006"
