"""The product's own node, workers and scanner in thousands of schedules, each decided by a seed.

A failing one is played again, step for step, by ``SIMULATION_SEED=17 pytest
tests/simulation/test_schedules.py``. How many the long form plays: ``SIMULATION_SCHEDULES``.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from many_processes import play_many, processors
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
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_no_schedule_of_thousands_loses_doubles_or_stops_a_study(
    request: pytest.FixtureRequest, folder_in_memory: Path, dialect: str
) -> None:
    count, processes = LONG if dialect == "sqlite" else LONG // 5, processors()
    folder = Path(tempfile.mkdtemp(dir=folder_in_memory))
    if dialect == "sqlite":
        urls = [f"sqlite:///{folder}/{number}.sqlite" for number in range(processes)]
    else:
        server = request.getfixturevalue("postgresql")
        urls = [server.new_database() for _ in range(processes)]
    began = time.monotonic()

    shares = play_many(urls, folder, range(1000, 1000 + count))

    minutes = (time.monotonic() - began) / 60
    spent = sum(share.processor_seconds for share in shares) / 60
    sys.stdout.write(
        f"\n{dialect}: {count} schedules in {processes} processes, {count / minutes:.0f} a minute, "
        f"{count / spent:.0f} a minute of processor time\n"
    )
    assert [words for share in shares for words in share.wrong] == []
    assert sum(share.schedules for share in shares) == count


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
