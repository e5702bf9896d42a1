"""Faults that are planted in the product are found by playing schedules."""

from collections.abc import Callable, Sequence

import planted
import pytest
from legs import ANALYSIS, LEGS, WHOLE_WAY, Leg
from simulation import Simulation

Plant = Callable[[pytest.MonkeyPatch], None]

IN_CI = {
    planted.claim_that_nobody_compares,
    planted.answer_before_the_name,
    planted.objects_sent_again,
}
MOST_SCHEDULES = 200
MOST_OF_ANY_KIND = 1000

SOME_IN_CI = [
    pytest.param(one, marks=[] if one in IN_CI else pytest.mark.long, id=one.__name__)
    for one in planted.FOUND_BY
]
EACH = [pytest.param(one, id=one.__name__) for one in planted.FOUND_BY]


def first_wrong(
    simulated: Simulation, *, kinds: Sequence[str], legs: Sequence[Leg], most: int = MOST_SCHEDULES
) -> int:
    """Return the seed of the first schedule in which something is wrong."""
    for seed in range(most):
        played = simulated.play(seed, kinds=kinds, legs=legs)
        if played.wrong:
            again = simulated.play(seed, kinds=kinds, legs=legs)
            assert again.digest == played.digest, "it replays"
            return seed
    pytest.fail(f"not found in {most} schedules")


def find(
    simulated: Simulation, plant: Plant, patch: pytest.MonkeyPatch, **how: Sequence[str | Leg] | int
) -> None:
    """Find a planted fault, and nothing in the same schedule without it."""
    with patch.context() as planting:
        plant(planting)
        seed = first_wrong(simulated, **how)  # type: ignore[arg-type]

    played = simulated.play(seed, kinds=how["kinds"], legs=how["legs"])  # type: ignore[arg-type]

    assert not played.wrong, played.in_words()


@pytest.mark.parametrize(
    "simulated",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)
@pytest.mark.parametrize("plant", SOME_IN_CI)
def test_planted_fault_is_found_in_one_leg_and_nothing_is_without_it(
    simulated: Simulation, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, leg = planted.FOUND_BY[plant]
    find(simulated, plant, monkeypatch, kinds=(kind,), legs=(leg,))


@pytest.mark.long
@pytest.mark.parametrize("plant", EACH)
def test_planted_fault_is_found_wherever_anything_may_befall_any_leg(
    simulated: Simulation, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(simulated, plant, monkeypatch, kinds=(), legs=LEGS, most=MOST_OF_ANY_KIND)


@pytest.mark.long
@pytest.mark.parametrize("plant", EACH)
def test_planted_fault_is_found_on_the_whole_way(
    simulated: Simulation, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, _ = planted.FOUND_BY[plant]
    find(simulated, plant, monkeypatch, kinds=(kind,), legs=(WHOLE_WAY,))


@pytest.mark.parametrize("simulated", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "leg", [ANALYSIS, pytest.param(WHOLE_WAY, marks=pytest.mark.long)], ids=lambda one: one.name
)
def test_missing_locks_are_found_where_rows_are_locked(
    simulated: Simulation, monkeypatch: pytest.MonkeyPatch, leg: Leg
) -> None:
    monkeypatch.setattr(simulated.database, "rewrite", planted.without_locks_and_versions)

    first_wrong(simulated, kinds=("messages doubled",), legs=(leg,))
