"""Workers that choose at once: each piece of work is begun once, and none is forgotten."""

from typing import Any

from node_factory import LEASE, NOW, analysis_row, study_row
from scenes import SWITCHES, Action, Scene, Scenes

from dicom_node.facts.priority import Priority
from dicom_node.studies.ledger.due import due_work, work
from dicom_node.studies.ledger.due.pauses import Holds, Paused, pause, pauses
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis


def entered(scenes: Scenes, *priorities: Priority) -> list[int]:
    """Enter an analysis of each priority; workers were told of all but the urgent ones."""
    with scenes.database.writing() as session:
        return [
            analysis_row(
                session,
                study_row(session, f"1.2.{number}", priority=priority.value),
                priority=priority.value,
                dispatched_at=None if priority is Priority.STAT else NOW,
            ).id
            for number, priority in enumerate(priorities)
        ]


def claiming(scenes: Scenes, work_id: int) -> Action:
    def claim(session: Any) -> Any:
        holds = Holds(pauses=pauses(session))
        taken = work.claim(session, Analysis, work_id, holder="h", lease=LEASE, at=NOW, holds=holds)
        return None if taken is None else taken[0].id

    return scenes.writing(claim)


def untold(scenes: Scenes) -> set[int]:
    with scenes.database.reading() as session:
        return {row.id for row in due_work.due(session, Analysis, at=NOW)}


@SWITCHES
def test_urgent_work_is_begun_once_by_two_workers_that_wake_at_once(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        first, second, urgent = entered(scenes, Priority.ROUTINE, Priority.ROUTINE, Priority.STAT)

        def check(*taken: Any) -> None:
            begun = [one for one in taken if one is not None]
            assert len(set(begun)) == len(begun) == 2
            assert urgent in begun
            # What a message named and nobody has begun gets another message.
            assert untold(scenes) == {first, second} - set(begun)

        return (claiming(scenes, first), claiming(scenes, second)), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_work_that_is_paused_as_it_is_claimed_runs_or_gets_another_message(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        (named,) = entered(scenes, Priority.ROUTINE)

        def hold(session: Any) -> None:
            pause(session, Paused.WORKER, "", reason="", paused_by="ann", at=NOW)

        def check(taken: Any, _: Any) -> None:
            row = scenes.one(Analysis)
            if taken is None:
                assert (row.state, untold(scenes)) == (AnalysisState.DUE, {named})
            else:
                assert row.state is AnalysisState.RUNNING

        return (claiming(scenes, named), scenes.writing(hold)), check

    scenes.play(scene, switches=switches)
