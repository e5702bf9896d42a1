"""Images that are kept and left out of the analysis, with the reason: no whole breast is shown."""

from typing import Any

import pytest
from node_factory import TOMOSYNTHESIS, Reception, coded_view, mammogram

from dicom_node.studies.ledger.states import InstanceState

LEFT_OUT = {
    "quality control image": {"QualityControlImage": "YES"},
    "localiser": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "specimen image": {"ViewCodeSequence": [coded_view("127457009")]},
    "specimen image by type": {"ImageType": ["ORIGINAL", "PRIMARY", "SPECIMEN"]},
    "specimen image by body part": {"BodyPartExamined": "SPECIMEN"},
    "spot compression view": {"ViewCodeSequence": [coded_view("399162004", "SCT", "399055006")]},
    "magnification view": {"EstimatedRadiographicMagnificationFactor": "1.8"},
    "slice of a tomosynthesis": {
        "SOPClassUID": TOMOSYNTHESIS,
        "ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"],
        "NumberOfFrames": 1,
    },
}


@pytest.mark.parametrize("reason", LEFT_OUT)
def test_image_that_shows_no_whole_breast_is_kept_and_left_out(
    reception: Reception, reason: str
) -> None:
    row = reception.receive(mammogram("CC", **LEFT_OUT[reason]))

    assert row.state is InstanceState.REGISTERED
    assert row.left_out_reason == reason.partition(" by ")[0]


@pytest.mark.parametrize(
    "attributes",
    [
        {"ViewCodeSequence": [coded_view("G-8310", "SRT")], "without": ["ViewPosition"]},
        {"ViewPosition": "SPECIMEN"},
    ],
)
def test_specimen_of_older_equipment_is_left_out(
    reception: Reception, attributes: dict[str, Any]
) -> None:
    row = reception.receive(mammogram(**attributes))

    assert row.left_out_reason == "specimen image"


def test_left_out_image_needs_no_laterality(reception: Reception) -> None:
    row = reception.receive(mammogram(QualityControlImage="YES", without=["ImageLaterality"]))

    assert row.state is InstanceState.REGISTERED


def test_contact_view_is_no_magnification(reception: Reception) -> None:
    row = reception.receive(mammogram(EstimatedRadiographicMagnificationFactor="1.073"))

    assert row.left_out_reason == ""
