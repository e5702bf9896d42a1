"""What a dry run foretells is what a run then takes, by a clock that a test turns."""

import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicom_node.fetch.asked_for import Retrieved
from dicom_node.fetch.estimate import Estimate, estimate
from dicom_node.fetch.found_objects import FoundObject, FoundStudy
from dicom_node.fetch.pace import Pace
from dicom_node.fetch.retrospective_run import Fetched, RetrospectiveRun
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.fetch.trial import Trial

STUDIES = 500
SEARCH_SECONDS = 0.02


@dataclass
class Clock:
    """Time in the place of the module, in which nothing passes of its own."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = time = perf_counter

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class SlowArchive:
    """An archive of studies each of which takes its time."""

    clock: Clock
    takes: Sequence[float]

    def studies(self, wanted: WantedStudy) -> list[FoundStudy]:
        self.clock.sleep(SEARCH_SECONDS)
        return [FoundStudy(wanted.study_instance_uid, "")]

    def objects(self, study: FoundStudy, classes: frozenset[str]) -> list[FoundObject]:
        del classes
        uid = study.study_instance_uid
        return [
            FoundObject(
                series_instance_uid=f"{uid}.1",
                sop_instance_uid=f"{uid}.1.{number}",
                sop_class_uid="1.2.3",
                size_bytes=10**7,
            )
            for number in range(4)
        ]

    def retrieve(self, study: FoundStudy, objects: Sequence[FoundObject], *_: object) -> Retrieved:
        self.clock.sleep(self.takes[int(study.study_instance_uid.rpartition(".")[2])])
        return Retrieved(kept={one.sop_instance_uid for one in objects})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in ("pace", "retrospective_run", "trial"):
        monkeypatch.setattr(f"dicom_node.fetch.{module}.time", made)
    return made


def run(archive: SlowArchive, pace: Pace, trial: Trial | None = None) -> Fetched:
    intake: Any = None if trial else lambda: nullcontext(None)
    fetching = RetrospectiveRun(
        archive,
        held=lambda _study, _wanted: (),
        open_intake=intake,
        classes=frozenset({"1.2.3"}),
        pace=pace,
        trial=trial,
    )
    wanted = [
        WantedStudy(line=number, study_instance_uid=f"1.2.{number}")
        for number in range(len(archive.takes))
    ]
    return fetching.fetch(wanted)


def foretold(archive: SlowArchive, pace: Pace, folder: Path) -> Estimate:
    trial = Trial(folder, maximum_bytes=10**9, lines=len(archive.takes))
    return estimate(run(archive, pace, trial), pace, trial)


@pytest.mark.parametrize("per_hour", [0, 3600, 14_400, 36_000])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_run_takes_what_was_foretold(
    tmp_path: Path, clock: Clock, per_hour: float, spread: float
) -> None:
    drawn = random.Random(7)
    archive = SlowArchive(clock, [0.2 * drawn.lognormvariate(0, spread) for _ in range(STUDIES)])
    pace = Pace(per_hour=per_hour, sleep=clock.sleep)
    told = foretold(archive, pace, tmp_path)

    began = clock.now
    run(archive, pace)
    took = clock.now - began

    assert told.studies == STUDIES
    assert told.least_seconds <= took * 1.001
    assert took / 2 < told.likely_seconds < took * 2
    if not spread:
        assert told.likely_seconds == pytest.approx(took, rel=0.01)


def test_pace_that_slow_studies_cannot_keep_is_not_what_is_foretold(
    tmp_path: Path, clock: Clock
) -> None:
    """Four of five studies wait for their turn, and the fifth makes all behind it late."""
    archive = SlowArchive(clock, [2.0 if number % 5 == 4 else 0.1 for number in range(40)])
    pace = Pace(per_hour=7200, sleep=clock.sleep)
    trial = Trial(tmp_path, maximum_bytes=10**9, lines=5)  # measures every one
    told = estimate(run(archive, pace, trial), pace, trial)

    began = clock.now
    run(archive, pace)

    assert clock.now - began == pytest.approx(told.likely_seconds, rel=0.1)
    assert told.least_seconds < 0.8 * told.likely_seconds


@pytest.mark.parametrize(
    ("per_hour", "studies", "takes", "seconds"),
    [
        (0, 500, [8], 4000),
        (100, 501, [12], 18_012),
        (100, 0, [1], 0),
        (3600, 2, [30], 60),
        (3600, 3, [0.5, 1.5], 3.5),
    ],
)
def test_time_is_estimated_by_pace_or_by_what_was_measured(
    per_hour: float, studies: int, takes: list[float], seconds: float
) -> None:
    assert Pace(per_hour=per_hour).seconds_for(studies, takes) == seconds


def test_list_of_which_nothing_is_left_takes_the_search_alone(tmp_path: Path) -> None:
    trial = Trial(tmp_path, maximum_bytes=1, lines=0)

    left = estimate(Fetched(searching_seconds=3.0), Pace(per_hour=1), trial)

    assert (left.studies, left.least_seconds, left.likely_seconds) == (0, 3.0, 3.0)
