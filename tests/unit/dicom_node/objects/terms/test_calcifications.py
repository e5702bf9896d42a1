"""Attention over calcifications is called a calcification of the breast; a box may count them."""

from dataclasses import replace

import pytest
from every_kind import EVERY_KIND
from objects_factory import finding, image_of, mammogram, marker_mask, results_of
from sr_reading import concept, read_back, value_code, walk

from dicom_node.facts.result_kinds import ResultKind
from mammoclip_core.findings import LocalisationMethod

CALCIFICATION = "309587003"


@pytest.mark.parametrize("counted", ["129769006", "129770007"])
@pytest.mark.parametrize(
    ("method", "is_counted"),
    [
        (LocalisationMethod.FACTOR, False),
        (LocalisationMethod.GRAD_CAM, False),
        (LocalisationMethod.CAM, False),
        (LocalisationMethod.BOX, True),
    ],
)
def test_only_a_box_claims_a_cluster_or_a_single_one(
    method: LocalisationMethod, is_counted: bool, counted: str
) -> None:
    found = finding(
        marker_mask(60, 150), name="suspicious_calcification", code=f"SCT|{counted}|Something"
    )
    dataset = mammogram()

    results = results_of(
        (dataset, image_of(dataset, replace(found, method=method))), profiles=(EVERY_KIND,)
    )

    objects = {one.kind: read_back(one.dataset) for one in results}
    report = objects[ResultKind.MEASUREMENT_REPORT]
    (stated,) = [value_code(item) for _, item in walk(report) if concept(item) == "121071"]
    (segment,) = objects[ResultKind.SEGMENTATION].SegmentSequence
    kind = segment.SegmentedPropertyTypeCodeSequence[0].CodeValue
    assert [stated, kind] == [counted if is_counted else CALCIFICATION] * 2
