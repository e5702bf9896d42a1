from typing import Any

import pytest
from node_factory import (
    after,
    analysis_row,
    claimed,
    delivery_row,
    finished,
    history,
    made_result,
    result_row,
    study_row,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.due import due_work, outcomes, work
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    ResultObject,
)
from dicom_node.studies.ledger.transitions import apply

REPORT = ("measurement_report", "")
WANTED = [REPORT, ("segmentation", "")]


@pytest.fixture
def analysis(session: Session) -> Analysis:
    return analysis_row(session, study_row(session))


def next_revision(session: Session, former: Analysis) -> Analysis:
    study = outcomes.study_of(session, former)
    return analysis_row(session, study, revision=former.revision + 1)


def test_finished_analysis_makes_a_delivery_for_each_destination_due(
    session: Session, analysis: Analysis
) -> None:
    deliveries = finished(session, analysis, made_result(), to=["archive", "research"])

    assert analysis.state is AnalysisState.DONE
    assert {row.destination for row in deliveries} == {"archive", "research"}
    assert {row.state for row in deliveries} == {DeliveryState.DUE}
    assert {row.dispatched_at for row in deliveries} == {None}


def test_finished_analysis_keeps_what_it_said(session: Session, analysis: Analysis) -> None:
    finished(session, analysis)

    assert (analysis.findings, analysis.bundle) == ("{}", "stand-in 1 00")
    assert analysis.finished_at is not None


def test_finished_analysis_lists_its_objects(session: Session, analysis: Analysis) -> None:
    result = made_result()
    finished(session, analysis, result)

    row = session.scalars(select(ResultObject)).one()
    assert (row.sop_instance_uid, row.place) == (result.sop_instance_uid, result.place)


def test_analysis_without_a_destination_is_done(session: Session, analysis: Analysis) -> None:
    assert finished(session, analysis, made_result(), to=[]) == []
    assert analysis.state is AnalysisState.DONE


@pytest.mark.parametrize("event", [Event.CANCEL, Event.LATE_IMAGE, Event.LEASE_LOST])
def test_overtaken_analysis_records_nothing(
    session: Session, analysis: Analysis, event: Event
) -> None:
    held = claimed(session, analysis)
    apply(session, analysis, event, at=after(1))

    with pytest.raises(OvertakenError):
        outcomes.finish_analysis(
            session,
            held,
            findings="{}",
            bundle="",
            results=[made_result()],
            destinations=["archive"],
            at=after(2),
        )

    assert session.scalars(select(ResultObject)).all() == []
    assert session.scalars(select(Delivery)).all() == []


def test_new_revision_supersedes_the_former(session: Session, analysis: Analysis) -> None:
    finished(session, analysis, made_result())

    finished(session, next_revision(session, analysis), made_result())

    assert analysis.state is AnalysisState.SUPERSEDED
    assert ("done", "supersede", "superseded") in list(history(session, "analysis"))


def test_former_revision_is_not_sent_any_more(session: Session, analysis: Analysis) -> None:
    (waiting,) = finished(session, analysis, made_result())

    finished(session, next_revision(session, analysis), made_result())

    assert (waiting.state, waiting.reason) == (DeliveryState.EXPIRED, "superseded by revision 2")


def test_former_revision_that_is_being_sent_is_not_sent_again(
    session: Session, analysis: Analysis
) -> None:
    (sending,) = finished(session, analysis, made_result())
    held = claimed(session, sending)
    finished(session, next_revision(session, analysis), made_result())

    outcomes.postpone_delivery(session, held, reason="0xA700", due_at=after(9), at=after(1))

    assert sending.state is DeliveryState.EXPIRED
    assert sending.reason == "superseded by a later revision; 0xA700"


def test_former_revision_that_was_delivered_stays_delivered(
    session: Session, analysis: Analysis
) -> None:
    (delivery,) = finished(session, analysis, made_result())
    outcomes.finish_delivery(session, claimed(session, delivery), at=after(1))

    finished(session, next_revision(session, analysis), made_result())

    assert delivery.state is DeliveryState.ACCEPTED


def test_other_studies_are_not_superseded(session: Session, analysis: Analysis) -> None:
    finished(session, analysis, made_result())

    finished(session, analysis_row(session, study_row(session, "1.2.3"), revision=2))

    assert analysis.state is AnalysisState.DONE


def test_failed_analysis_says_why(session: Session, analysis: Analysis) -> None:
    outcomes.fail_analysis(session, claimed(session, analysis), reason="broken", at=after(1))

    assert (analysis.state, analysis.reason) == (AnalysisState.FAILED, "broken")


@pytest.fixture
def delivery(session: Session, analysis: Analysis) -> Delivery:
    analysis.state = AnalysisState.DONE
    result_row(session, analysis)
    result_row(session, analysis)
    return delivery_row(session, analysis)


def answer(session: Session, delivery: Delivery, key: int, outcome: str) -> None:
    held = work.Claim(id=delivery.id, version=0, attempt=1, holder="")
    outcomes.record_outcome(session, held, key, outcome=outcome, status="0x0000", at=after(1))
    session.flush()


def test_only_what_was_not_taken_is_sent_again(session: Session, delivery: Delivery) -> None:
    first, second = outcomes.undelivered(session, delivery, WANTED)

    answer(session, delivery, first.id, "accepted")
    answer(session, delivery, second.id, "postponed")

    assert outcomes.undelivered(session, delivery, WANTED) == [second]


def test_later_answer_takes_the_place_of_the_earlier(session: Session, delivery: Delivery) -> None:
    first, _ = outcomes.undelivered(session, delivery, WANTED)
    answer(session, delivery, first.id, "postponed")

    answer(session, delivery, first.id, "accepted")

    assert [row.outcome for row in session.scalars(select(DeliveryOutcome))] == ["accepted"]


def test_destinations_answer_for_themselves(session: Session, delivery: Delivery) -> None:
    other = delivery_row(
        session, session.get_one(Analysis, delivery.analysis_id), destination="research"
    )
    for row in outcomes.undelivered(session, delivery, WANTED):
        answer(session, delivery, row.id, "accepted")

    assert len(outcomes.undelivered(session, other, WANTED)) == 2


def test_long_status_is_cut_to_its_column(session: Session, delivery: Delivery) -> None:
    held = work.Claim(id=delivery.id, version=0, attempt=1, holder="")
    first, _ = outcomes.undelivered(session, delivery, WANTED)

    outcomes.record_outcome(
        session, held, first.id, outcome="refused", status="x" * 999, at=after(1)
    )

    assert len(session.scalars(select(DeliveryOutcome)).one().status) == 255


ENDS: dict[str, tuple[Any, DeliveryState]] = {
    "finish": (lambda *a: outcomes.finish_delivery(*a, at=after(1)), DeliveryState.ACCEPTED),
    "refuse": (
        lambda *a: outcomes.refuse_delivery(*a, reason="why", at=after(1)),
        DeliveryState.REFUSED,
    ),
    "expire": (
        lambda *a: outcomes.expire_delivery(*a, reason="why", at=after(1)),
        DeliveryState.EXPIRED,
    ),
    "postpone": (
        lambda *a: outcomes.postpone_delivery(*a, reason="why", due_at=after(9), at=after(1)),
        DeliveryState.DUE,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_delivery_ends_as_its_worker_says(session: Session, delivery: Delivery, end: str) -> None:
    conclude, state = ENDS[end]

    conclude(session, claimed(session, delivery))

    assert delivery.state is state
    assert delivery.reason == ("" if end == "finish" else "why")


@pytest.mark.parametrize("end", ENDS)
def test_delivery_whose_lease_was_lost_is_not_ended(
    session: Session, delivery: Delivery, end: str
) -> None:
    conclude, _ = ENDS[end]
    held = claimed(session, delivery)
    work.recover_lost(session, Delivery, maximum_attempts=9, at=after(50))

    with pytest.raises(OvertakenError):
        conclude(session, held)


def test_postponed_delivery_waits_for_its_time(session: Session, delivery: Delivery) -> None:
    outcomes.postpone_delivery(
        session, claimed(session, delivery), reason="down", due_at=after(9), at=after(1)
    )

    assert (delivery.due_at, delivery.dispatched_at) == (after(9), None)


@pytest.mark.parametrize("later", ["postponed", "refused"])
def test_object_that_was_accepted_stays_delivered(
    session: Session, analysis: Analysis, later: str
) -> None:
    analysis.state = AnalysisState.DONE
    result = result_row(session, analysis)
    held = claimed(session, delivery_row(session, analysis))

    for outcome in ("accepted", later):
        outcomes.record_outcome(session, held, result.id, outcome=outcome, status="", at=after(1))

    assert session.scalars(select(DeliveryOutcome)).one().outcome == "accepted"


def test_lost_delivery_of_a_superseded_analysis_is_given_up(
    session: Session, analysis: Analysis
) -> None:
    (delivery,) = finished(session, analysis, made_result())
    claimed(session, delivery, at=after(1))
    finished(session, next_revision(session, analysis), made_result())

    work.recover_lost(session, Delivery, maximum_attempts=9, at=after(500))

    session.refresh(delivery)
    assert delivery.state is DeliveryState.EXPIRED
    assert delivery.reason.startswith("superseded by a later revision; worker host:1")


def given_back(session: Session, delivery: Delivery, holder: str) -> bool:
    return outcomes.give_back_unfinished(
        session, delivery.id, holder=holder, reason="it ends", due_at=after(9), at=after(1)
    )


def test_unfinished_delivery_of_a_worker_that_ends_is_due_again_and_counts_as_no_attempt(
    session: Session, delivery: Delivery
) -> None:
    held = claimed(session, delivery)

    assert given_back(session, delivery, held.holder)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DUE, 0)
    assert (delivery.due_at, delivery.dispatched_at) == (after(9), None)


def test_delivery_that_another_worker_has_or_that_has_ended_is_not_given_back(
    session: Session, delivery: Delivery
) -> None:
    held = claimed(session, delivery)
    assert not given_back(session, delivery, "another:1")
    assert delivery.state is DeliveryState.SENDING

    outcomes.finish_delivery(session, held, at=after(1))

    assert not given_back(session, delivery, held.holder)
    assert delivery.state is DeliveryState.ACCEPTED


def test_delivery_that_is_put_off_is_told_again_later_and_stays_as_it_is(
    session: Session, delivery: Delivery
) -> None:
    delivery.dispatched_at = after(0)
    version = delivery.version

    due_work.put_off(session, Delivery, delivery.id, at=after(1), wait=after(6) - after(1))
    session.refresh(delivery)

    assert (delivery.due_at, delivery.dispatched_at) == (after(6), None)
    assert (delivery.version, delivery.attempts) == (version, 0)


def test_delivery_that_was_claimed_meanwhile_is_not_put_off(
    session: Session, delivery: Delivery
) -> None:
    held = claimed(session, delivery)

    due_work.put_off(session, Delivery, delivery.id, at=after(1), wait=after(6) - after(1))

    outcomes.finish_delivery(session, held, at=after(2))
    assert delivery.state is DeliveryState.ACCEPTED
