"""The product's own node, workers and scanner in thousands of schedules, each decided by a seed.

A failing one is played again, step for step, by ``SIMULATION_SEED=17 pytest
tests/simulation/test_schedules.py``. How many the long form plays: ``SIMULATION_SCHEDULES``.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from simulation import Simulation

BOTH = pytest.mark.parametrize("simulated", ["sqlite", "postgresql"], indirect=True)
SHORT = {"sqlite": 10, "postgresql": 2}
LONG = int(os.environ.get("SIMULATION_SCHEDULES", "3000"))
REPLAYED = os.environ.get("SIMULATION_SEED")

PRINT_DIGEST = """
import sys
from pathlib import Path
from simulation import simulation
folder = Path(sys.argv[1])
with simulation(f"sqlite:///{folder}/ledger.sqlite", folder) as opened:
    print(opened.play(int(sys.argv[2])).digest)
"""


def play(simulated: Simulation, seeds: range) -> None:
    for seed in [int(REPLAYED)] if REPLAYED else seeds:
        played = simulated.play(seed)
        assert not played.wrong, played.in_words()


@BOTH
def test_no_schedule_loses_doubles_or_stops_a_study(simulated: Simulation) -> None:
    play(simulated, range(SHORT[simulated.dialect]))


@pytest.mark.long
@BOTH
def test_no_schedule_of_thousands_loses_doubles_or_stops_a_study(simulated: Simulation) -> None:
    count = LONG if simulated.dialect == "sqlite" else LONG // 5
    began = time.monotonic()
    play(simulated, range(1000, 1000 + count))
    rate = 60 * count / (time.monotonic() - began)
    sys.stdout.write(f"\n{simulated.dialect}: {count} schedules, {rate:.0f} a minute\n")


@pytest.mark.parametrize(
    "simulated",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)
def test_schedule_is_the_same_one_whenever_it_is_played(simulated: Simulation) -> None:
    once, again = simulated.play(2), simulated.play(2)

    assert once.digest == again.digest
    assert simulated.play(3).digest != once.digest


@pytest.mark.long
def test_schedule_is_the_same_one_in_another_process(simulated: Simulation, tmp_path: Path) -> None:
    for seed in range(5):
        elsewhere = subprocess.run(
            [sys.executable, "-c", PRINT_DIGEST, str(tmp_path), str(seed)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert simulated.play(seed).digest == elsewhere.stdout.strip()
