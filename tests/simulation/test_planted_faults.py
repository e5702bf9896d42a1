"""Faults that are planted in the product are found by playing schedules."""

from collections.abc import Callable

import planted
import pytest
from simulation import Simulation

IN_CI = {
    planted.claim_that_nobody_compares,
    planted.answer_before_the_name,
    planted.objects_sent_again,
}
MOST_SCHEDULES = 200


def first_wrong(simulated: Simulation, kinds: tuple[str, ...]) -> int:
    """Return the seed of the first schedule in which something is wrong."""
    for seed in range(MOST_SCHEDULES):
        played = simulated.play(seed, kinds=kinds)
        if played.wrong:
            assert simulated.play(seed, kinds=kinds).digest == played.digest, "it replays"
            return seed
    pytest.fail(f"not found in {MOST_SCHEDULES} schedules")


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(one, marks=[] if one in IN_CI else pytest.mark.long, id=one.__name__)
        for one in planted.FOUND_BY
    ],
)
def test_planted_fault_is_found_and_nothing_is_without_it(
    simulated: Simulation,
    plant: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = (planted.FOUND_BY[plant],)
    with monkeypatch.context() as patch:
        plant(patch)
        seed = first_wrong(simulated, kinds)

    played = simulated.play(seed, kinds=kinds)

    assert not played.wrong, played.in_words()


@pytest.mark.parametrize("simulated", ["postgresql"], indirect=True)
def test_missing_locks_are_found_where_rows_are_locked(
    simulated: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated.database, "rewrite", planted.without_locks_and_versions)

    first_wrong(simulated, ("messages doubled",))
