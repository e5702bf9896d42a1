import json
from dataclasses import asdict
from typing import Any

import pytest
from node_factory import (
    STUDY_UID,
    Reception,
    after,
    analysis_row,
    delivery_row,
    finished,
    instance_row,
    made_result,
    mammogram,
    study_row,
)
from sqlalchemy.orm import Session

from dicom_node.errors import UnknownStudyError
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Study

DONE = AnalysisState.DONE
D = DeliveryState

OF_ANALYSIS = {
    AnalysisState.DUE: "waiting",
    AnalysisState.RUNNING: "analysing",
    AnalysisState.FAILED: "failed",
    AnalysisState.CANCELLED: "cancelled",
}

OF_DELIVERIES = {
    (): "done",
    (D.DUE,): "delivering",
    (D.SENDING,): "delivering",
    (D.ACCEPTED,): "delivered",
    (D.CONFIRMED,): "delivered",
    (D.COMMITTED,): "delivered",
    (D.ACCEPTED, D.COMMITTED): "delivered",
    (D.HELD,): "held",
    (D.HELD, D.REFUSED): "refused",
    (D.REFUSED,): "refused",
    (D.EXPIRED,): "expired",
    (D.ACCEPTED, D.DUE): "delivering",
    (D.ACCEPTED, D.REFUSED): "refused",
    (D.DUE, D.REFUSED): "refused",
    (D.EXPIRED, D.REFUSED): "refused",
    (D.SENDING, D.EXPIRED): "expired",
    (D.ACCEPTED, D.HELD): "delivered",
    (D.DUE, D.HELD): "delivering",
}


def condition(session: Session, study: Study) -> tuple[str, str]:
    one = reading.summary(session, study)
    return one.condition, one.reason


def test_open_study_is_receiving(session: Session) -> None:
    assert condition(session, study_row(session, state=StudyState.OPEN)) == ("receiving", "")


def test_reopened_study_is_receiving_whatever_was_before(session: Session) -> None:
    study = study_row(session, state=StudyState.OPEN)
    analysis_row(session, study, state=DONE)

    assert condition(session, study)[0] == "receiving"


def test_study_with_nothing_to_analyse_says_so(session: Session) -> None:
    study = study_row(session, remark="nothing to analyse")

    assert condition(session, study) == ("nothing-to-analyse", "nothing to analyse")


@pytest.mark.parametrize("state", OF_ANALYSIS)
def test_study_is_what_its_analysis_is(session: Session, state: AnalysisState) -> None:
    study = study_row(session)
    now = database_time(session)
    analysis_row(session, study, state=state, reason="the reason", due_at=now)

    assert condition(session, study) == (OF_ANALYSIS[state], "the reason")


@pytest.mark.parametrize("states", OF_DELIVERIES, ids=lambda states: "+".join(states) or "none")
def test_analysed_study_is_what_its_deliveries_are(
    session: Session, states: tuple[DeliveryState, ...]
) -> None:
    study = study_row(session)
    analysis = analysis_row(session, study, state=DONE)
    for number, state in enumerate(states):
        delivery_row(session, analysis, destination=f"archive{number}", state=state)

    assert condition(session, study)[0] == OF_DELIVERIES[states]


@pytest.mark.parametrize(
    ("states", "proof"),
    [
        ((D.ACCEPTED,), "accepted"),
        ((D.CONFIRMED, D.COMMITTED), "confirmed"),
        ((D.COMMITTED, D.ACCEPTED, D.CONFIRMED), "accepted"),
        ((D.COMMITTED,), "committed"),
        ((D.COMMITTED, D.DUE), ""),
        ((D.COMMITTED, D.REFUSED), ""),
    ],
)
def test_delivered_study_says_how_far_its_least_proven_delivery_has_come(
    session: Session, states: tuple[DeliveryState, ...], proof: str
) -> None:
    study = study_row(session)
    delivery_row(session, analysis_row(session, study, state=DONE), state=D.ACCEPTED)
    analysis = analysis_row(session, study, revision=2, state=DONE)
    for number, state in enumerate(states):
        delivery_row(session, analysis, destination=f"archive{number}", state=state)

    assert reading.summary(session, study).proof == proof


def test_delivered_study_says_what_its_proof_waits_for(session: Session) -> None:
    study = study_row(session)
    analysis = analysis_row(session, study, state=DONE)
    delivery_row(session, analysis, state=D.ACCEPTED, reason="1 of 2 objects not found")

    assert condition(session, study) == ("delivered", "archive: 1 of 2 objects not found")


def test_every_state_of_a_delivery_has_its_word() -> None:
    assert {state for states in OF_DELIVERIES for state in states} == set(DeliveryState)


def test_reason_of_a_delivery_names_its_destination(session: Session) -> None:
    study = study_row(session)
    analysis = analysis_row(session, study, state=DONE)
    delivery_row(session, analysis, state=D.SENDING, reason="no association")

    assert condition(session, study) == ("delivering", "archive: no association")


def test_newest_revision_counts(session: Session) -> None:
    study = study_row(session, revision=2)
    delivery_row(session, analysis_row(session, study, state=DONE), state=D.REFUSED)
    analysis_row(session, study, revision=2, state=AnalysisState.RUNNING)

    assert condition(session, study)[0] == "analysing"


def test_summary_counts_images_and_what_is_set_aside(session: Session) -> None:
    study = study_row(session)
    for state in (InstanceState.REGISTERED, InstanceState.REGISTERED, InstanceState.SET_ASIDE):
        instance_row(session, study, state=state)

    one = reading.summary(session, study)

    assert (one.images, one.set_aside) == (2, 1)


def test_object_that_was_judged_again_is_counted_once(session: Session) -> None:
    study = study_row(session)
    instance_row(session, study, state=InstanceState.TAKEN_BACK)
    instance_row(session, study, state=InstanceState.SET_ASIDE)

    assert reading.summary(session, study).set_aside == 1


def test_studies_are_listed_newest_first_up_to_the_limit(session: Session) -> None:
    for number in range(4):
        study_row(session, f"1.2.{number}", last_received_at=after(number))

    listed = reading.summaries(session, limit=3)

    assert [one.study_instance_uid for one in listed] == ["1.2.3", "1.2.2", "1.2.1"]


def test_unknown_study_is_an_error(session: Session) -> None:
    with pytest.raises(UnknownStudyError):
        reading.find_study(session, "1.2")


def test_set_aside_objects_without_a_study_are_read(session: Session) -> None:
    instance_row(session, study_row(session), state=InstanceState.SET_ASIDE)
    stray = instance_row(session, None, state=InstanceState.SET_ASIDE, reason="unreadable-object")

    assert [one["id"] for one in reading.set_aside_without_study(session, limit=9)] == [stray.id]


@pytest.fixture
def record(reception: Reception) -> dict[str, Any]:
    reception.receive(mammogram())
    with reception.database.writing() as session:
        study = reading.find_study(session, STUDY_UID)
        study_row(session, "9.9")
        finished(session, analysis_row(session, study), made_result())
        return reading.study_record(session, study)


def test_study_record_holds_everything_of_its_study(record: dict[str, Any]) -> None:
    counts = {key: len(value) for key, value in record.items() if isinstance(value, list)}

    assert counts == {
        "instances": 1,
        "analyses": 1,
        "shadows": 0,
        "results": 1,
        "deliveries": 1,
        "assessments": 0,
        "outcomes": 0,
        "commitments": 0,
        "history": 6,
    }


def test_history_is_in_order(record: dict[str, Any]) -> None:
    steps = [(one["subject"], one["event"]) for one in record["history"]]

    assert steps == [
        ("study", "new"),
        ("instance", "new"),
        ("instance", "file"),
        ("analysis", "claim"),
        ("analysis", "finish"),
        ("delivery", "new"),
    ]


def test_study_record_can_be_written_as_json(record: dict[str, Any]) -> None:
    text = json.dumps({**record, "summary": asdict(record["summary"])}, default=str)

    assert "patient" not in text


def test_no_more_than_the_newest_rows_of_a_study_are_read(session: Session) -> None:
    study = study_row(session)
    for _ in range(5):
        instance_row(session, study)
    for revision in (1, 2, 3):
        analysis_row(session, study, state=AnalysisState.SUPERSEDED, revision=revision)

    record = reading.study_record(session, study, limit=3)

    assert [one["id"] for one in record["instances"]] == [3, 4, 5]
    assert [one["revision"] for one in record["analyses"]] == [1, 2, 3]
    assert record["left_out"] == {"instances": 2}
