"""The proof of a delivery in the ledger: who is asked when, and what follows from an answer."""

from datetime import timedelta
from typing import Any

import pytest
from node_factory import NOW, after, analysis_row, claimed, finished, made_result, study_row
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.proof import proofs
from dicom_node.studies.ledger.proof.proofs import ProofClaim
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, DeliveryOutcome, Study

LATER = after(4000)
CONFIRMED, COMMITTED = DeliveryState.CONFIRMED, DeliveryState.COMMITTED
NOTE = {"kind": "rejection_note"}


def deliver(session: Session, delivery: Delivery) -> None:
    """Let the destination accept everything, and be asked for it."""
    held = claimed(session, delivery, at=delivery.due_at)
    wanted = {("measurement_report", ""), ("rejection_note", "")}
    for row in outcomes.undelivered(session, delivery, wanted):
        outcomes.record_outcome(session, held, row.id, outcome="accepted", status="0x0000", at=NOW)
    outcomes.finish_delivery(session, held, at=NOW, is_proof_wanted=True)


def accepted(session: Session, *results: MadeResult, study: Study | None = None) -> Delivery:
    analysis = analysis_row(session, study or study_row(session))
    (delivery,) = finished(session, analysis, *(results or (made_result(), made_result())))
    deliver(session, delivery)
    return delivery


def asked(session: Session, delivery: Delivery, at: Any = NOW) -> ProofClaim:
    held = proofs.begin_proof(session, delivery.id, at=at, until=at + timedelta(minutes=10))
    assert held is not None
    return held


def outcomes_of(session: Session) -> list[str]:
    query = select(DeliveryOutcome.outcome).order_by(DeliveryOutcome.result_object_id)
    return list(session.scalars(query))


def test_destination_is_asked_as_soon_as_it_has_accepted_everything(session: Session) -> None:
    delivery = accepted(session)

    assert proofs.due_proofs(session, "archive", at=NOW, limit=9) == [delivery.id]
    assert proofs.due_proofs(session, "other", at=NOW, limit=9) == []


def test_destination_that_is_to_prove_nothing_is_not_asked(session: Session) -> None:
    (delivery,) = finished(session, analysis_row(session, study_row(session)), made_result())
    outcomes.finish_delivery(session, claimed(session, delivery), at=NOW)

    assert proofs.due_proofs(session, "archive", at=LATER, limit=9) == []


def test_question_that_is_asked_is_not_asked_by_another_until_it_is_lost(session: Session) -> None:
    delivery = accepted(session)
    asked(session, delivery)

    assert proofs.begin_proof(session, delivery.id, at=after(599), until=LATER) is None
    again = proofs.begin_proof(session, delivery.id, at=after(600), until=LATER)
    assert again is not None
    assert again.attempt == 2


@pytest.mark.parametrize("state", [CONFIRMED, COMMITTED])
def test_delivery_is_proven_once_every_object_is(session: Session, state: DeliveryState) -> None:
    delivery = accepted(session)
    held = asked(session, delivery)
    first, second = (one.id for one in held.objects)

    assert not proofs.record_proof(session, held, state, {first: "found"}, at=NOW)
    assert delivery.state is DeliveryState.ACCEPTED
    assert proofs.record_proof(session, held, state, {second: "found"}, at=NOW)
    assert (delivery.state, delivery.proof_due_at) == (state, None)
    assert outcomes_of(session) == [state.value] * 2


def test_retraction_that_an_archive_hides_does_not_keep_a_delivery_unconfirmed(
    session: Session,
) -> None:
    delivery = accepted(session, made_result(), made_result(**NOTE))
    held = asked(session, delivery)
    report, note = held.objects

    assert (report.is_retraction, note.is_retraction) == (False, True)
    assert proofs.record_proof(session, held, CONFIRMED, {report.id: "found"}, at=NOW)


def test_object_that_is_not_there_is_sent_again_and_no_other(session: Session) -> None:
    delivery = accepted(session)
    held = asked(session, delivery)
    first, second = (one.id for one in held.objects)
    proofs.record_proof(session, held, CONFIRMED, {first: "found"}, at=NOW)

    state = proofs.miss(session, held, [second], words="1 of 2 not found", at=NOW)

    assert state is DeliveryState.DUE
    assert outcomes_of(session) == ["confirmed", "missing"]
    wanted = {("measurement_report", "")}
    assert [one.id for one in outcomes.undelivered(session, delivery, wanted)] == [second]
    assert delivery.reason == (
        "not-kept: the destination answered with success, and 1 of 2 not found"
    )


def test_destination_that_keeps_nothing_is_given_up_after_three_times(session: Session) -> None:
    delivery = accepted(session)
    states = []
    for _ in range(3):
        held = asked(session, delivery)
        ids = [one.id for one in held.objects]
        states.append(proofs.miss(session, held, ids, words="2 of 2 not found", at=NOW))
        if delivery.state is DeliveryState.DUE:
            deliver(session, delivery)

    assert states == ["due", "due", "refused"]
    assert delivery.reason.endswith("also after it was sent 3 times")
    assert delivery.sent_again == 0


def test_superseded_delivery_is_not_asked_about_and_never_sent_again(session: Session) -> None:
    study = study_row(session)
    delivery = accepted(session, study=study)
    late = asked(session, delivery)
    finished(session, analysis_row(session, study, revision=2), made_result())

    assert session.get_one(Analysis, delivery.analysis_id).state is AnalysisState.SUPERSEDED
    ids = [one.id for one in late.objects]
    assert proofs.miss(session, late, ids, words="gone", at=NOW) is DeliveryState.ACCEPTED
    assert proofs.begin_proof(session, delivery.id, at=LATER, until=LATER) is None
    assert delivery.proof_due_at is None
    assert "superseded" in delivery.reason


def test_destination_that_is_to_prove_nothing_any_more_is_forgotten(session: Session) -> None:
    delivery = accepted(session)
    proofs.ask_again(session, asked(session, delivery), reason="not yet", due_at=NOW)

    proofs.want_no_proof(session, "other")
    assert delivery.proof_due_at == NOW
    proofs.want_no_proof(session, "archive")
    assert (delivery.proof_due_at, delivery.reason) == (None, "")
    assert delivery.state is DeliveryState.ACCEPTED


def test_what_was_never_proven_is_forgiven_a_destination_that_is_to_prove_nothing_any_more(
    session: Session,
) -> None:
    delivery = accepted(session)
    proofs.ask_again(session, asked(session, delivery), reason="never proven: mute", due_at=None)
    assert proofs.owes_proof(delivery)

    proofs.want_no_proof(session, "archive")

    assert (delivery.reason, proofs.owes_proof(delivery)) == ("", False)


def test_answer_to_a_former_sending_changes_nothing(session: Session) -> None:
    delivery = accepted(session)
    former = asked(session, delivery)
    ids = [one.id for one in former.objects]
    proofs.miss(session, former, ids, words="not found", at=NOW)

    found = dict.fromkeys(ids, "found")
    assert not proofs.record_proof(session, former, CONFIRMED, found, at=NOW)
    assert proofs.miss(session, former, ids, words="not found", at=NOW) is None
    assert outcomes_of(session) == ["missing", "missing"]


def test_destination_has_its_time_and_two_questions_before_anything_is_sent_again(
    session: Session,
) -> None:
    delivery = accepted(session)

    def is_time(held: ProofClaim, seconds: float) -> bool:
        return proofs.is_time_to_send_again(held, within_seconds=60, at=after(seconds))

    first = asked(session, delivery)
    second = asked(session, delivery, at=after(700))
    assert [is_time(first, 3600), is_time(second, 59), is_time(second, 60)] == [False, False, True]


def test_confirmed_object_is_not_taken_for_unsent_by_a_late_worse_answer(session: Session) -> None:
    delivery = accepted(session)
    held = asked(session, delivery)
    found = {one.id: "found" for one in held.objects}
    proofs.record_proof(session, held, CONFIRMED, found, at=NOW)

    late = outcomes.Claim(id=delivery.id, version=0, attempt=1, holder="host:1")
    outcomes.record_outcome(
        session, late, held.objects[0].id, outcome="refused", status="0xC000", at=NOW
    )

    assert outcomes_of(session) == ["confirmed", "confirmed"]
