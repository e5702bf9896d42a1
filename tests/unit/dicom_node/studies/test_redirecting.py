"""What waits for a destination that is gone is sent to another one, or given up, by a person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from node_factory import (
    LEASE,
    NOW,
    analysis_row,
    claimed,
    delivery_row,
    history,
    result_row,
    study_row,
)
from scenes import SWITCHES, Scene, Scenes
from sqlalchemy import event, select

from dicom_node.studies import redirecting
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.overview import (
    causes,
    destination_summaries,
    removed_destinations,
)
from dicom_node.studies.ledger.due import outcomes, work
from dicom_node.studies.ledger.due.pauses import Holds
from dicom_node.studies.ledger.proof import proofs
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, DeliveryOutcome, Transition
from dicom_node.studies.redirecting import drop_deliveries, move_deliveries
from dicom_node.studies.retrying_many import retry_all

COUNT = 5
WHY = {"reason": "pacs was replaced"}


@pytest.fixture
def gone(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return a ledger with five deliveries to a destination that left the settings."""
    monkeypatch.setattr(redirecting, "PORTION", 2)
    with database.writing() as session:
        for number in range(COUNT):
            study = study_row(session, f"1.2.{number}")
            done = analysis_row(session, study, state=AnalysisState.DONE)
            delivery_row(session, done, destination="pacs", attempts=4, reason="silent")
    return database


def rows(database: Database) -> list[Delivery]:
    with database.reading() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def test_nothing_is_begun_of_what_waits_for_a_removed_destination(gone: Database) -> None:
    holds = Holds(destinations=frozenset({"archive"}))
    with gone.writing() as session:
        for number in range(1, COUNT + 1):
            assert (
                work.claim(session, Delivery, number, holder="h", lease=LEASE, at=NOW, holds=holds)
                is None
            )
        (line,) = causes(session, frozenset({"archive"}))
        assert removed_destinations(session, frozenset({"archive"})) == {"pacs": COUNT}

    assert line.startswith("destination pacs is not in the settings: enter it there again")
    assert line.endswith("5 deliveries wait for it.")


def test_deliveries_are_moved_as_if_they_were_new_and_the_history_says_by_whom(
    gone: Database,
) -> None:
    done = move_deliveries(gone, "pacs", "archive", moved_by="ann", **WHY)

    assert (done.moved, done.given_up) == (COUNT, 0)
    for row in rows(gone):
        assert (row.destination, row.state, row.attempts, row.reason) == (
            "archive",
            DeliveryState.DUE,
            0,
            "",
        )
        assert row.created_at > NOW
    with gone.reading() as session:
        assert list(history(session, "delivery")) == [("due", "move", "due")] * COUNT
        reasons = set(session.scalars(select(Transition.reason)))
    assert reasons == {"moved from pacs to archive by ann: pacs was replaced"}


def test_what_the_old_destination_took_is_sent_to_the_new_one_all_the_same(
    database: Database,
) -> None:
    with database.writing() as session:
        done = analysis_row(session, study_row(session), state=AnalysisState.DONE)
        result = result_row(session, done)
        delivery = delivery_row(session, done, destination="pacs")
        held = claimed(session, delivery)
        outcomes.record_outcome(
            session, held, result.id, outcome="accepted", status="0x0000", at=NOW
        )
        outcomes.postpone_delivery(session, held, reason="silent", due_at=NOW, at=NOW)

    move_deliveries(database, "pacs", "archive", moved_by="ann", **WHY)

    with database.reading() as session:
        row = session.get_one(Delivery, delivery.id)
        wanted = [(result.kind, result.variant)]
        assert [one.id for one in outcomes.undelivered(session, row, wanted)] == [result.id]
        assert session.scalars(select(DeliveryOutcome)).all() == []


def test_results_that_the_new_destination_gets_anyway_are_not_sent_twice(
    gone: Database,
) -> None:
    with gone.writing() as session:
        analysis = session.get_one(Analysis, session.get_one(Delivery, 1).analysis_id)
        delivery_row(session, analysis, state=DeliveryState.ACCEPTED, finished_at=NOW)

    done = move_deliveries(gone, "pacs", "archive", moved_by="ann", **WHY)

    assert (done.moved, done.given_up) == (COUNT - 1, 1)
    first = rows(gone)[0]
    assert (first.destination, first.state) == ("pacs", DeliveryState.EXPIRED)
    assert "which has a delivery of the same results" in first.reason


def test_dropped_deliveries_say_by_whom_and_why_and_can_be_retried(gone: Database) -> None:
    done = drop_deliveries(gone, "pacs", dropped_by="ann", reason="pacs was shut down")

    assert (done.moved, done.given_up) == (0, COUNT)
    assert {(row.state, row.reason) for row in rows(gone)} == {
        (DeliveryState.EXPIRED, "dropped by ann: pacs was shut down")
    }
    assert retry_all(gone, "dropped by ann")["deliveries"] == COUNT
    assert {row.state for row in rows(gone)} == {DeliveryState.DUE}


def test_what_is_under_way_or_has_ended_is_left_as_it_is(gone: Database) -> None:
    with gone.writing() as session:
        claimed(session, session.get_one(Delivery, 1))
        session.get_one(Delivery, 2).state = DeliveryState.ACCEPTED

    assert move_deliveries(gone, "pacs", "archive", moved_by="ann", **WHY).moved == COUNT - 2
    assert [row.destination for row in rows(gone)][:2] == ["pacs", "pacs"]


@pytest.fixture
def unproven(gone: Database) -> Database:
    """Return the ledger where the first is still to be proven, and the second never was."""
    with gone.writing() as session:
        for number, owed in ((1, {"proof_due_at": NOW}), (2, {"reason": "never proven: mute"})):
            row = session.get_one(Delivery, number)
            row.state, row.finished_at, row.proof_attempts = DeliveryState.ACCEPTED, NOW, 3
            for column, value in owed.items():
                setattr(row, column, value)
            result = result_row(session, session.get_one(Analysis, row.analysis_id))
            session.add(
                DeliveryOutcome(
                    delivery_id=number,
                    result_object_id=result.id,
                    outcome="accepted",
                    status="0x0000",
                    at=NOW,
                )
            )
    return gone


def test_removed_destination_that_is_still_to_prove_something_is_counted(
    unproven: Database,
) -> None:
    with unproven.reading() as session:
        assert removed_destinations(session, frozenset({"archive"})) == {"pacs": COUNT}
        (line,) = causes(session, frozenset({"archive"}))
        (summary,) = destination_summaries(session, (), known=frozenset({"archive"}))
        assert removed_destinations(session, frozenset({"pacs"})) == {}

    owed = "2 deliveries that it accepted are not proven, and the files are kept"
    assert line.endswith(f"3 deliveries wait for it. {owed}.")
    assert (summary.name, summary.condition) == ("pacs", "removed")
    assert summary.reason.endswith(f"; {owed}")


def test_other_destination_is_asked_for_what_the_old_one_has_not_proven(
    unproven: Database,
) -> None:
    done = move_deliveries(unproven, "pacs", "archive", moved_by="ann", with_proofs=True, **WHY)

    assert (done.moved, done.asked, done.given_up, done.waived) == (COUNT - 2, 2, 0, 0)
    for row in rows(unproven)[:2]:
        assert (row.destination, row.state, row.reason) == ("archive", DeliveryState.ACCEPTED, "")
        assert (row.proof_attempts, row.finished_at) == (0, NOW)
        with unproven.writing() as session:
            at = row.proof_due_at
            held = proofs.begin_proof(session, row.id, at=at, until=at + timedelta(minutes=10))
            assert len(held.objects) == 1


def test_old_destination_is_asked_for_nothing_that_the_other_one_has_too(
    unproven: Database,
) -> None:
    with unproven.writing() as session:
        analysis = session.get_one(Analysis, session.get_one(Delivery, 1).analysis_id)
        delivery_row(session, analysis)

    done = move_deliveries(unproven, "pacs", "archive", moved_by="ann", with_proofs=True, **WHY)

    assert (done.asked, done.waived) == (1, 1)
    first = rows(unproven)[0]
    assert (first.destination, first.state, first.proof_due_at) == ("pacs", "accepted", None)


def test_proof_is_waived_by_a_person_with_the_reason(unproven: Database) -> None:
    done = drop_deliveries(
        unproven, "pacs", dropped_by="ann", reason="pacs was shut down", with_proofs=True
    )

    assert (done.given_up, done.waived) == (COUNT - 2, 2)
    words = "accepted, and no proof is wanted: dropped by ann: pacs was shut down"
    assert [(row.state, row.reason, row.proof_due_at) for row in rows(unproven)[:2]] == [
        (DeliveryState.ACCEPTED, words, None)
    ] * 2
    with unproven.reading() as session:
        assert removed_destinations(session, frozenset({"archive"})) == {}
        assert ("accepted", "drop", "accepted") in list(history(session, "delivery"))
        assert words in set(session.scalars(select(Transition.reason)))


def test_command_that_is_killed_in_between_is_given_again(gone: Database) -> None:
    class Killed(BaseException):
        pass

    commits = iter(range(9))

    def kill(_: object) -> None:
        if next(commits) == 1:
            raise Killed

    event.listen(gone.engine, "commit", kill)
    with pytest.raises(Killed):
        move_deliveries(gone, "pacs", "archive", moved_by="ann", **WHY)
    event.remove(gone.engine, "commit", kill)
    assert [row.destination for row in rows(gone)].count("archive") == 2

    assert move_deliveries(gone, "pacs", "archive", moved_by="ann", **WHY).moved == COUNT - 2
    assert {row.destination for row in rows(gone)} == {"archive"}


@SWITCHES
def test_delivery_that_is_claimed_while_it_is_moved_is_sent_to_one_place(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            done = analysis_row(session, study_row(session), state=AnalysisState.DONE)
            delivery_row(session, done, destination="pacs", dispatched_at=NOW)

        def moving() -> Any:
            return move_deliveries(scenes.database, "pacs", "archive", moved_by="ann", **WHY)

        def claiming(session: Any) -> Any:
            at = datetime.now(UTC) + timedelta(hours=1)
            taken = work.claim(session, Delivery, 1, holder="h", lease=LEASE, at=at)
            return None if taken is None else taken[1].destination

        def check(done: Any, taken: Any) -> None:
            row = scenes.all(Delivery)[0]
            assert row.destination == ("archive" if done.moved else "pacs")
            if row.state is DeliveryState.SENDING:
                assert taken == row.destination

        return (moving, scenes.writing(claiming)), check

    scenes.play(scene, switches=switches)
