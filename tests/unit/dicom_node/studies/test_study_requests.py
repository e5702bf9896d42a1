"""What a person may ask for, in every condition that a study can be in."""

import pytest
from node_factory import (
    STUDY_UID,
    Reception,
    after,
    analysis_row,
    claimed,
    delivery_row,
    instance_row,
    mammogram,
    result_row,
    study_row,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import UnknownStudyError
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Study
from dicom_node.studies.operator_actions import cancel_study, judge_again, retry_study


@pytest.fixture
def study(session: Session) -> Study:
    study = study_row(session)
    instance_row(session, study)
    return study


def analyses(session: Session) -> list[tuple[int, AnalysisState]]:
    rows = session.scalars(select(Analysis).order_by(Analysis.revision))
    return [(row.revision, row.state) for row in rows]


@pytest.mark.parametrize("state", [AnalysisState.FAILED, AnalysisState.CANCELLED])
def test_retried_analysis_is_due_again_as_if_new(
    session: Session, study: Study, state: AnalysisState
) -> None:
    analysis = analysis_row(
        session, study, state=state, attempts=4, reason="broken", dispatched_at=after(0)
    )

    done = retry_study(session, STUDY_UID, at=after(9))

    assert done == ["analysis of revision 1 is due again"]
    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert (analysis.due_at, analysis.dispatched_at) == (after(9), None)
    assert (analysis.reason, analysis.finished_at) == ("", None)


@pytest.mark.parametrize("state", [AnalysisState.DUE, AnalysisState.RUNNING])
def test_analysis_under_way_is_not_retried(
    session: Session, study: Study, state: AnalysisState
) -> None:
    analysis_row(session, study, state=state)

    assert retry_study(session, STUDY_UID, at=after(9)) == []


def test_open_study_is_not_retried(session: Session, study: Study) -> None:
    analysis_row(session, study, state=AnalysisState.DONE)
    study.state = StudyState.OPEN

    assert retry_study(session, STUDY_UID, at=after(9)) == []


def test_study_without_an_analysis_is_analysed_if_there_is_something(
    session: Session, study: Study
) -> None:
    study.revision = 0

    retry_study(session, STUDY_UID, at=after(9))

    assert analyses(session) == [(1, AnalysisState.DUE)]


def test_study_with_nothing_to_analyse_is_not_retried(session: Session) -> None:
    instance_row(session, study_row(session, revision=0), state=InstanceState.SET_ASIDE)

    assert retry_study(session, STUDY_UID, at=after(9)) == []


@pytest.mark.parametrize("state", [DeliveryState.REFUSED, DeliveryState.EXPIRED])
def test_failed_delivery_is_due_again_with_all_its_time(
    session: Session, study: Study, state: DeliveryState
) -> None:
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    delivery = delivery_row(session, analysis, state=state, attempts=7, reason="0xC000")

    done = retry_study(session, STUDY_UID, at=after(9))

    assert done == ["delivery to archive is due again"]
    assert (delivery.state, delivery.attempts) == (DeliveryState.DUE, 0)
    assert (delivery.created_at, delivery.due_at) == (after(9), after(9))
    assert analyses(session) == [(1, AnalysisState.DONE)]


def test_waiting_delivery_is_due_now(session: Session, study: Study) -> None:
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    delivery = delivery_row(session, analysis, due_at=after(900), dispatched_at=after(1))

    done = retry_study(session, STUDY_UID, at=after(9))

    assert done == ["delivery to archive is due now"]
    assert (delivery.due_at, delivery.dispatched_at) == (after(9), None)


def test_what_workers_were_told_of_before_is_said(session: Session, study: Study) -> None:
    for number in range(3):
        another = study_row(session, f"1.2.{number}")
        analysis = analysis_row(session, another, state=AnalysisState.DONE)
        where = "archive" if number else "elsewhere"
        delivery_row(session, analysis, destination=where, dispatched_at=after(1))
    analysis_row(session, study_row(session, "1.3"), dispatched_at=after(1))
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    delivery_row(session, analysis, due_at=after(900), dispatched_at=after(1))

    done = retry_study(session, STUDY_UID, at=after(9))

    assert done == ["delivery to archive is due now, after 2 deliveries in the queue"]
    analysis.state = AnalysisState.FAILED
    assert retry_study(session, STUDY_UID, at=after(9)) == [
        "analysis of revision 1 is due again, after 1 analysis in the queue"
    ]


def test_delivery_under_way_is_left_alone(session: Session, study: Study) -> None:
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    delivery = delivery_row(session, analysis)
    claimed(session, delivery)

    assert retry_study(session, STUDY_UID, at=after(9)) == ["delivery to archive is under way"]
    assert delivery.state is DeliveryState.SENDING


def test_delivered_study_is_analysed_anew(session: Session, study: Study) -> None:
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    delivery_row(session, analysis, state=DeliveryState.ACCEPTED)

    done = retry_study(session, STUDY_UID, at=after(9))

    assert done == ["analysis of revision 2 is due"]
    assert analyses(session) == [(1, AnalysisState.DONE), (2, AnalysisState.DUE)]


def test_delivery_that_could_not_be_proven_is_asked_for_again(
    session: Session, study: Study
) -> None:
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    reason = {"reason": "never proven: no C-FIND", "proof_attempts": 9}
    delivery = delivery_row(session, analysis, state=DeliveryState.ACCEPTED, **reason)

    done = retry_study(session, STUDY_UID, at=after(9))

    assert done == ["archive is asked again for what it has accepted"]
    assert (delivery.proof_due_at, delivery.proof_attempts) == (after(9), 0)


def test_newest_revision_is_the_one_retried(session: Session, study: Study) -> None:
    analysis_row(session, study, state=AnalysisState.SUPERSEDED)
    analysis_row(session, study, revision=2, state=AnalysisState.FAILED)

    retry_study(session, STUDY_UID, at=after(9))

    assert analyses(session) == [(1, AnalysisState.SUPERSEDED), (2, AnalysisState.DUE)]


@pytest.mark.parametrize("state", [AnalysisState.DUE, AnalysisState.RUNNING])
def test_analysis_under_way_is_cancelled(
    session: Session, study: Study, state: AnalysisState
) -> None:
    analysis = analysis_row(session, study, state=state)

    done = cancel_study(session, STUDY_UID, at=after(9))

    assert done == ["analysis of revision 1 is cancelled"]
    assert (analysis.state, analysis.finished_at) == (AnalysisState.CANCELLED, after(9))


@pytest.mark.parametrize(
    "state",
    [AnalysisState.DONE, AnalysisState.FAILED, AnalysisState.CANCELLED, AnalysisState.SUPERSEDED],
)
def test_analysis_that_ended_is_not_cancelled(
    session: Session, study: Study, state: AnalysisState
) -> None:
    analysis_row(session, study, state=state)

    assert cancel_study(session, STUDY_UID, at=after(9)) == []


@pytest.mark.parametrize("ask", [retry_study, cancel_study])
def test_unknown_study_is_an_error(session: Session, ask: object) -> None:
    with pytest.raises(UnknownStudyError, match=r"study 9\.9 is not in the ledger"):
        ask(session, "9.9", at=after(0))


def again(reception: Reception) -> list[str]:
    with reception.database.writing() as session:
        done = judge_again(session, STUDY_UID, at=after(0))
    reception.registrar.register_all()
    return done


def test_object_that_is_judged_again_ends_in_one_place(reception: Reception) -> None:
    row = reception.receive(mammogram(without=["ViewPosition"]))

    done = again(reception)

    assert done == [f"{row.sop_instance_uid} (no-view) is registered again"]
    assert len(reception.files("set-aside")) == 1
    assert [one.place != "" for one in reception.instances()] == [False, True]


def test_object_that_is_right_by_new_settings_is_registered(reception: Reception) -> None:
    capture = mammogram(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    reception.receive(capture, calling_ae_title="DIGITISER")
    reception.settings = reception.settings.model_copy(
        update={"secondary_capture_senders": ("DIGITISER",)}
    )

    again(reception)

    states = [row.state for row in reception.instances()]
    assert states == [InstanceState.TAKEN_BACK, InstanceState.REGISTERED]
    assert reception.files("set-aside") == []


def test_registered_image_is_not_judged_again(reception: Reception) -> None:
    reception.receive(mammogram())

    assert again(reception) == []


def test_judging_again_after_a_crash_goes_on(reception: Reception) -> None:
    row = reception.receive(mammogram(without=["ViewPosition"]))
    reception.spool.take_back(row.place)  # and killed before the ledger wrote

    again(reception)

    assert len(reception.files("set-aside")) == 1
    assert again(reception) != []


def test_delivery_that_lacks_what_its_destination_wants_is_analysed_anew(
    session: Session, study: Study
) -> None:
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    result_row(session, analysis)
    delivery_row(session, analysis, state=DeliveryState.REFUSED)
    delivery_row(session, analysis, state=DeliveryState.ACCEPTED, destination="other")

    done = retry_study(
        session,
        STUDY_UID,
        at=after(9),
        wanted=lambda name, _: {("secondary_capture", "")} if name == "archive" else set(),
    )

    assert done == ["analysis of revision 2 is due"]


def test_refused_delivery_with_all_that_is_wanted_is_only_sent_again(
    session: Session, study: Study
) -> None:
    analysis = analysis_row(session, study, state=AnalysisState.DONE)
    result_row(session, analysis)
    delivery_row(session, analysis, state=DeliveryState.REFUSED)

    done = retry_study(
        session, STUDY_UID, at=after(9), wanted=lambda *_: {("measurement_report", "")}
    )

    assert done == ["delivery to archive is due again"]
