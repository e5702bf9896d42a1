"""Of workers that find a destination down at once, one asks it, and one sends."""

from datetime import timedelta
from typing import Any

from node_factory import LEASE, NOW, after, analysis_row, delivery_row, study_row
from scenes import SWITCHES, Action, Scene, Scenes

from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.destinations import circuits
from dicom_node.studies.ledger.destinations.circuits import Circuit
from dicom_node.studies.ledger.due import work
from dicom_node.studies.ledger.site_tables import DestinationState
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Delivery

POLICY = RetrySettings(breaker_failures=2, first_probe_seconds=10)
LATER = after(60)


def entered(scenes: Scenes, *, failures: int, is_answered: bool = False) -> list[int]:
    """Enter two deliveries to a destination that has failed so often."""
    with scenes.database.writing() as session:
        for _ in range(failures):
            circuits.note_failure(session, "archive", reason="silent", policy=POLICY, at=NOW)
        if is_answered:
            circuits.try_now(session, "archive", at=NOW)
        return [
            delivery_row(
                session,
                analysis_row(session, study_row(session, f"1.2.{n}"), state=AnalysisState.DONE),
                dispatched_at=NOW,
            ).id
            for n in range(2)
        ]


def failing(scenes: Scenes) -> Action:
    def step(session: Any) -> Any:
        return circuits.note_failure(session, "archive", reason="silent", policy=POLICY, at=LATER)

    return scenes.writing(step)


def claiming(scenes: Scenes, delivery_id: int) -> Action:
    def step(session: Any) -> Any:
        taken = work.claim(session, Delivery, delivery_id, holder="h", lease=LEASE, at=LATER)
        return None if taken is None else taken[0].id

    return scenes.writing(step)


@SWITCHES
def test_failures_at_once_are_both_counted_and_one_opens_the_circuit(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        entered(scenes, failures=0)

        def check(*noted: Any) -> None:
            assert sorted(noted) == [(Circuit.CLOSED, True), (Circuit.OPEN, True)]
            assert scenes.one(DestinationState).failures == 2

        return (failing(scenes), failing(scenes)), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_one_of_two_workers_asks_whether_the_destination_answers(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        entered(scenes, failures=2)

        def asking(holder: str) -> Action:
            def step(session: Any) -> bool:
                longest = timedelta(minutes=1)
                return circuits.take_probe(
                    session, "archive", holder=holder, longest=longest, at=LATER
                )

            return scenes.writing(step)

        def check(*taken: bool) -> None:
            assert sorted(taken) == [False, True]

        return (asking("first"), asking("second")), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_one_delivery_is_begun_where_two_are_claimed_of_a_destination_that_answers(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        first, second = entered(scenes, failures=2, is_answered=True)

        def check(*taken: Any) -> None:
            assert len([one for one in taken if one is not None]) == 1
            rows = scenes.all(Delivery)
            assert sorted(row.state.value for row in rows) == ["due", "sending"]
            # What was not begun has no message, and gets one when the circuit is closed.
            assert [row.dispatched_at for row in rows if row.state is DeliveryState.DUE] == [None]

        return (claiming(scenes, first), claiming(scenes, second)), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_claim_beside_the_failure_that_opens_the_circuit_is_made_or_waits(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        first, _ = entered(scenes, failures=1)

        def check(taken: Any, noted: Any) -> None:
            assert noted == (Circuit.OPEN, True)
            row = scenes.all(Delivery)[0]
            expected = (DeliveryState.DUE, 0) if taken is None else (DeliveryState.SENDING, 1)
            assert (row.state, row.attempts) == expected

        return (claiming(scenes, first), failing(scenes)), check

    scenes.play(scene, switches=switches)
