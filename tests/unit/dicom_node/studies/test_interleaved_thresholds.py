"""People who decide on threshold sets at once: one set counts for a scanner at a time."""

from typing import Any

from node_factory import NOW
from scenes import MOSTLY_IN_POSTGRESQL, SWITCHES, Action, Scene, Scenes

from dicom_node.errors import NodeError
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.monitoring import threshold_sets
from dicom_node.studies.ledger.monitoring.tables import ThresholdSet

EQUIPMENT = Fingerprint("Maker", "Model", "1", "2.0")
BUNDLE = "bundle 1 00"


def proposed(scenes: Scenes, count: int) -> list[int]:
    with scenes.database.writing() as session:
        return [
            threshold_sets.propose(
                session, EQUIPMENT, BUNDLE, thresholds={"mass": 0.5}, facts={}, by="ann", at=NOW
            )
            for _ in range(count)
        ]


def deciding(scenes: Scenes, decide: Any, number: int, by: str) -> Action:
    def act(session: Any) -> bool:
        try:
            decide(session, number, by=by, at=NOW)
        except NodeError:
            return False
        return True

    return scenes.writing(act)


def counting(scenes: Scenes) -> list[int]:
    rows = scenes.all(ThresholdSet)
    return [row.id for row in rows if row.accepted_at is not None and row.withdrawn_at is None]


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_of_two_sets_accepted_at_once_one_counts(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        first, second = proposed(scenes, 2)

        def check(*_: bool) -> None:
            assert len(counting(scenes)) == 1

        return [
            deciding(scenes, threshold_sets.accept, first, "ann"),
            deciding(scenes, threshold_sets.accept, second, "ben"),
        ], check

    assert scenes.play(scene, switches=switches) > 1


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_after_a_set_is_withdrawn_none_that_it_had_replaced_counts(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        former, next_one = proposed(scenes, 2)
        with scenes.database.writing() as session:
            threshold_sets.accept(session, former, by="ann", at=NOW)

        def check(accepted: bool, withdrawn: bool) -> None:
            assert accepted
            assert counting(scenes) == [next_one]
            assert isinstance(withdrawn, bool)

        return [
            deciding(scenes, threshold_sets.accept, next_one, "ann"),
            deciding(scenes, threshold_sets.withdraw, former, "ben"),
        ], check

    scenes.play(scene, switches=switches)
