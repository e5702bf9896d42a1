"""Mammograms that older systems store as CR or DX images are taken from the senders named."""

from collections.abc import Callable
from typing import Any

import pytest
from node_factory import Reception, coded_view, mammogram

from dicom_node.facts.selection import LEFT_OUT_REASONS
from dicom_node.studies.ledger.states import InstanceState

ReceptionWith = Callable[..., Reception]

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
DX_RAW = "1.2.840.10008.5.1.4.1.1.1.1.1"
WITHOUT = ("PresentationIntentType",)
BREAST = {"Modality": "CR", "BodyPartExamined": "BREAST"}
CODED = {"Modality": "DX", "AnatomicRegionSequence": [coded_view("76752008")]}
OLD_CODE = {"Modality": "DX", "AnatomicRegionSequence": [coded_view("T-04000", "SRT")]}

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.mark.parametrize("sop_class", [CR, DX])
@pytest.mark.parametrize(
    "header",
    [{"Modality": "MG"}, BREAST, {**BREAST, "BodyPartExamined": "L BREAST"}, CODED, OLD_CODE],
)
def test_radiograph_of_the_breast_is_a_mammogram_from_a_sender_that_is_named(
    reception_with: ReceptionWith, sop_class: str, header: dict[str, Any]
) -> None:
    reception = reception_with(radiograph_senders=("CR-ROOM",))
    image = mammogram("CC", "L", SOPClassUID=sop_class, **header, without=WITHOUT)

    row = reception.receive(image, calling_ae_title="CR-ROOM")

    assert (row.state, row.laterality, row.view_position) == (InstanceState.REGISTERED, "L", "CC")


@pytest.mark.parametrize("senders", [(), ("ANOTHER",)])
@pytest.mark.parametrize("header", [{"Modality": "MG"}, BREAST])
def test_radiograph_of_the_breast_of_another_sender_is_left_out_with_its_reason(
    reception_with: ReceptionWith, senders: tuple[str, ...], header: dict[str, Any]
) -> None:
    reception = reception_with(radiograph_senders=senders)

    row = reception.receive(mammogram(SOPClassUID=CR, **header), calling_ae_title="CR-ROOM")

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "radiograph")
    assert "Computed Radiography Image Storage" in row.detail
    assert row.reason in LEFT_OUT_REASONS


@pytest.mark.parametrize(
    ("view", "header"),
    [
        ("AP", {"Modality": "CR", "BodyPartExamined": "BREAST"}),
        ("CC", {"Modality": "CR", "BodyPartExamined": "HAND"}),
        ("LL", {"Modality": "DX", "BodyPartExamined": "CHEST"}),
        ("CC", {"Modality": "CR", "BodyPartExamined": "BREASTBONE"}),
    ],
)
def test_other_radiograph_is_no_mammogram_whoever_sends_it(
    reception_with: ReceptionWith, view: str, header: dict[str, str]
) -> None:
    reception = reception_with(radiograph_senders=("CR-ROOM",))

    row = reception.receive(mammogram(view, SOPClassUID=CR, **header), calling_ae_title="CR-ROOM")

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "not-a-mammogram")


def test_radiograph_of_modality_mg_without_a_view_is_set_aside_for_that(
    reception_with: ReceptionWith,
) -> None:
    reception = reception_with(radiograph_senders=("CR-ROOM",))
    image = mammogram(SOPClassUID=CR, without=["ViewPosition"])

    assert reception.receive(image, calling_ae_title="CR-ROOM").reason == "no-view"


def test_radiograph_for_processing_is_known_as_such(reception_with: ReceptionWith) -> None:
    reception = reception_with(radiograph_senders=("CR-ROOM",))
    image = mammogram(SOPClassUID=DX_RAW, without=WITHOUT)

    row = reception.receive(image, calling_ae_title="CR-ROOM")

    assert row.presentation_intent == "FOR PROCESSING"
