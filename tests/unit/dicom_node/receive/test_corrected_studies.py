"""What becomes of a study, of its answer and of its other images when an image is corrected."""

from typing import Any

import pytest
from corrected_images import (
    CORRECTED,
    copy_of,
    files_and_rows,
    four_pictured,
    kept,
    pictured,
)
from node_factory import (
    PATIENT_WORDS,
    Reception,
    analysis_row,
    delivery_row,
)
from pydicom.dataset import Dataset
from sqlalchemy import update
from structlog.testing import capture_logs

from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study, Transition

pytestmark = pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)


def settle(reception: Reception, state: AnalysisState, delivery: DeliveryState) -> None:
    """Make the one study settled, with an analysis and a delivery in some state."""
    with reception.database.writing() as session:
        session.execute(update(Study).values(state=StudyState.SETTLED, revision=1))
        analysis = analysis_row(session, session.get_one(Study, 1), state=state)
        delivery_row(session, analysis, state=delivery)


def test_whole_study_is_corrected(reception: Reception) -> None:
    images = four_pictured()
    for image in images:
        reception.receive(image)

    for image in images:
        reception.receive(copy_of(image, **CORRECTED))

    assert {row.reason for row in kept(reception)} == {"corrected"}
    assert len(kept(reception)) == 4
    files_and_rows(reception)


def test_new_image_belongs_to_the_patient_that_its_study_was_corrected_to(
    reception: Reception,
) -> None:
    first = pictured("CC")
    reception.receive(first)
    reception.receive(copy_of(first, **CORRECTED))

    new, old = (reception.receive(pictured(**one)) for one in (CORRECTED, {}))

    assert new.state is InstanceState.REGISTERED
    assert old.reason == "two-patients"


def test_image_that_came_before_the_correction_is_judged_again_after_it(
    reception: Reception,
) -> None:
    first, early = pictured("CC"), pictured("MLO", **CORRECTED)
    reception.receive(first)
    assert reception.receive(early).reason == "two-patients"

    reception.receive(copy_of(first, **CORRECTED))
    reception.registrar.register_all()

    assert {row.sop_instance_uid for row in kept(reception)} == {
        first.SOPInstanceUID,
        early.SOPInstanceUID,
    }
    files_and_rows(reception)


@pytest.mark.parametrize("state", [AnalysisState.DUE, AnalysisState.RUNNING, AnalysisState.FAILED])
def test_correction_supersedes_an_analysis_without_an_answer(
    reception: Reception, state: AnalysisState
) -> None:
    first = pictured()
    reception.receive(first)
    settle(reception, state, DeliveryState.DUE)

    reception.receive(copy_of(first, **CORRECTED))

    assert reception.study().state is StudyState.OPEN
    assert [row.state for row in reception.rows(Analysis)] == [AnalysisState.SUPERSEDED]


def test_nothing_more_is_sent_under_the_name_that_was_corrected(reception: Reception) -> None:
    first = pictured()
    reception.receive(first)
    settle(reception, AnalysisState.DONE, DeliveryState.DUE)

    reception.receive(copy_of(first, PatientName="Richtig^Rita"))

    (delivery,) = reception.rows(Delivery)
    assert (delivery.state, delivery.reason) == (
        DeliveryState.EXPIRED,
        "the patient was corrected since",
    )
    assert [row.state for row in reception.rows(Analysis)] == [AnalysisState.SUPERSEDED]


def test_answer_stays_while_nothing_of_the_patient_is_corrected(reception: Reception) -> None:
    first = pictured()
    reception.receive(first)
    settle(reception, AnalysisState.DONE, DeliveryState.DUE)

    reception.receive(copy_of(first, StudyDescription="Screening"))

    assert [row.state for row in reception.rows(Delivery)] == [DeliveryState.DUE]
    assert reception.study().state is StudyState.OPEN


def test_repeat_opens_no_study(reception: Reception) -> None:
    first = pictured()
    reception.receive(first)
    settle(reception, AnalysisState.DONE, DeliveryState.DUE)

    reception.receive(copy_of(first, RetrieveAETitle="ARCHIVE"))

    assert reception.study().state is StudyState.SETTLED


def said_of(reception: Reception, dataset: Dataset) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        reception.receive(dataset)
    return [dict(line) for line in lines]


def test_correction_says_what_was_corrected_and_no_value(reception: Reception) -> None:
    first = pictured()
    reception.receive(first)

    lines = said_of(reception, copy_of(first, **CORRECTED))

    (line,) = (one for one in lines if one["event"] == "instance_corrected")
    assert line["detail"] == ", ".join(sorted(CORRECTED))
    told = str(lines) + str([vars(row) for row in reception.rows(Transition)])
    told += str([vars(row) for row in (*reception.instances(), reception.study())])
    for word in (*PATIENT_WORDS, "Richtig", "Rita", "RICHTIG-1", "19610407", "A-2"):
        assert word not in told
