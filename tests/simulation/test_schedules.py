"""The product's own node, workers and scanner in thousands of schedules, each decided by a seed.

A failing one is played again, step for step, by ``SIMULATION_SEED=17 pytest
tests/simulation/test_schedules.py -k leg``, or ``-k whole``, as it says. How many the long form
plays: ``SIMULATION_SCHEDULES``.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from legs import LEGS, WHOLE_WAY, Leg
from many_processes import play_many, processors
from simulation import Simulation

BOTH = pytest.mark.parametrize("simulated", ["sqlite", "postgresql"], indirect=True)
SHORT = {"sqlite": 4, "postgresql": 1}
SHORT_OF_LEGS = {"sqlite": 24, "postgresql": 3}
LONG = int(os.environ.get("SIMULATION_SCHEDULES", "3000"))
REPLAYED = os.environ.get("SIMULATION_SEED")

PRINT_DIGEST = """
import sys
from pathlib import Path
from legs import LEGS
from simulation import simulation
folder = Path(sys.argv[1])
with simulation(f"sqlite:///{folder}/ledger.sqlite", folder) as opened:
    for seed in range(20):
        print(opened.play(seed, legs=LEGS).digest, opened.play(seed).digest if seed < 3 else "")
"""


def play(simulated: Simulation, seeds: range, legs: Sequence[Leg]) -> None:
    for seed in [int(REPLAYED)] if REPLAYED else seeds:
        played = simulated.play(seed, legs=legs)
        assert not played.wrong, played.in_words()


@BOTH
def test_no_schedule_of_a_leg_loses_doubles_or_stops_a_study(simulated: Simulation) -> None:
    play(simulated, range(SHORT_OF_LEGS[simulated.dialect]), LEGS)


@BOTH
def test_no_schedule_of_the_whole_way_loses_doubles_or_stops_a_study(
    simulated: Simulation,
) -> None:
    play(simulated, range(SHORT[simulated.dialect]), (WHOLE_WAY,))


@pytest.mark.long
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("legs", [LEGS, (WHOLE_WAY,)], ids=["legs", "whole"])
def test_no_schedule_of_thousands_loses_doubles_or_stops_a_study(
    request: pytest.FixtureRequest, folder_in_memory: Path, dialect: str, legs: Sequence[Leg]
) -> None:
    count, processes = LONG if dialect == "sqlite" else LONG // 5, processors()
    if WHOLE_WAY in legs:
        count //= 4
    folder = Path(tempfile.mkdtemp(dir=folder_in_memory))
    if dialect == "sqlite":
        urls = [f"sqlite:///{folder}/{number}.sqlite" for number in range(processes)]
    else:
        server = request.getfixturevalue("postgresql")
        urls = [server.new_database() for _ in range(processes)]
    began = time.monotonic()

    shares = play_many(urls, folder, range(1000, 1000 + count), legs)

    minutes = (time.monotonic() - began) / 60
    spent = sum(share.processor_seconds for share in shares) / 60
    played = sum(share.schedules for share in shares)
    steps = sum(share.steps for share in shares) / played
    sys.stdout.write(
        f"\n{dialect}: {played} schedules of {steps:.0f} steps in {processes} processes, "
        f"{played / minutes:.0f} a minute, {played / spent:.0f} a minute of processor time\n"
    )
    assert [words for share in shares for words in share.wrong] == []
    assert played == count


@pytest.mark.parametrize(
    "simulated",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)
def test_schedule_is_the_same_one_whenever_it_is_played(simulated: Simulation) -> None:
    for legs in (LEGS, (WHOLE_WAY,)):
        once, again = simulated.play(2, legs=legs), simulated.play(2, legs=legs)

        assert once.digest == again.digest
        assert simulated.play(3, legs=legs).digest != once.digest


@pytest.mark.long
def test_schedule_is_the_same_one_in_another_process(simulated: Simulation, tmp_path: Path) -> None:
    elsewhere = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    # In another order: what was played before makes no difference.
    for seed in reversed(range(20)):
        digests = [simulated.play(seed, legs=LEGS).digest]
        digests += [simulated.play(seed).digest] if seed < 3 else []
        assert digests == elsewhere[seed].split()
