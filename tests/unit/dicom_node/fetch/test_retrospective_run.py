"""A list is gone through once, at its pace; what is there already is not fetched again."""

import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from files_on_disk import dicom_file
from node_factory import FOR_PRESENTATION, STUDY_UID, Reception, mammogram
from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError, NotOfferedError, OutOfResourcesError
from dicom_node.facts.file_meta import read_file_meta
from dicom_node.fetch.asked_for import Retrieved, Taking
from dicom_node.fetch.found_objects import FoundObject, FoundStudy, OtherStudyError
from dicom_node.fetch.held_by_the_node import received_of, waiting_in
from dicom_node.fetch.pace import Pace, StartsFile
from dicom_node.fetch.retrospective_run import Fate, Fetched, RetrospectiveRun
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.fetch.trial import Trial
from dicom_node.receive.files.file_intake import FileIntake, file_intake

CLASSES = frozenset({FOR_PRESENTATION})


def study_of(number: int) -> str:
    return f"{STUDY_UID}.{number}"


@dataclass
class Shelf:
    """An archive in memory that fails where a test wants it to."""

    studies_held: dict[str, list[Dataset]]
    down: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    patients: dict[str, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def studies(self, wanted: WantedStudy) -> list[FoundStudy]:
        uid = wanted.study_instance_uid
        if uid in self.down:
            raise DestinationDownError("pacs does not answer")
        if uid in self.others:
            raise OtherStudyError("the archive answered with another PatientID")
        patient = self.patients.get(uid, "")
        return [FoundStudy(uid, patient)] if uid in self.studies_held else []

    def objects(self, study: FoundStudy, classes: frozenset[str]) -> list[FoundObject]:
        return [
            FoundObject(
                series_instance_uid=image.SeriesInstanceUID,
                sop_instance_uid=image.SOPInstanceUID,
                sop_class_uid=image.SOPClassUID,
                size_bytes=20_000_000,
            )
            for image in self.studies_held[study.study_instance_uid]
            if image.SOPClassUID in classes
        ]

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> Retrieved:
        del classes
        wanted = {one.sop_instance_uid for one in objects}
        got = Retrieved()
        for image in self.studies_held[study.study_instance_uid]:
            uid = image.SOPInstanceUID
            if uid in wanted and uid not in self.lost:
                stream = BytesIO(dicom_file(image))
                intake.take_described(read_file_meta(stream), stream, str(image.StudyInstanceUID))
                got.kept.add(uid)
                self.sent.append(uid)
        return got


def shelf_of(count: int, **options: Any) -> Shelf:
    held = {
        study_of(number): [
            mammogram("CC", side, StudyInstanceUID=study_of(number)) for side in "LR"
        ]
        for number in range(count)
    }
    return Shelf(held, **options)


def run(
    shelf: Shelf,
    reception: Reception,
    *numbers: int,
    dry: bool = False,
    pace: Pace | None = None,
    trial: Trial | None = None,
) -> Fetched:
    def held(study: str, wanted: Collection[str]) -> Collection[str]:
        with reception.database.reading() as session:
            return received_of(session, study, wanted)

    def opened() -> AbstractContextManager[FileIntake]:
        return file_intake(
            reception.settings, reception.spool, origin="run", calling_ae_title="RUN"
        )

    wanted = [
        WantedStudy(line=number + 2, study_instance_uid=study_of(number)) for number in numbers
    ]
    fetching = RetrospectiveRun(
        shelf,
        held=held,
        open_intake=None if dry else opened,
        classes=CLASSES,
        pace=pace or Pace(),
        trial=trial,
    )
    return fetching.fetch(wanted)


def fates(fetched: Fetched) -> list[Fate]:
    return [one.fate for one in fetched.studies]


def test_dry_run_says_what_there_is_and_fetches_nothing(reception: Reception) -> None:
    fetched = run(shelf_of(3), reception, 0, 1, 2, 7, dry=True)

    assert fates(fetched) == [Fate.TO_RETRIEVE] * 3 + [Fate.NOT_FOUND]
    assert sum(one.objects for one in fetched.studies) == 6
    assert sum(one.size_bytes for one in fetched.studies) == 120_000_000
    assert reception.spool.incoming() == []


def test_studies_are_retrieved_once_however_often_it_is_run(reception: Reception) -> None:
    shelf = shelf_of(3)

    first = run(shelf, reception, 0, 1)
    reception.registrar.register_all()
    second = run(shelf, reception, 0, 1, 2)

    assert fates(first) == [Fate.RETRIEVED] * 2
    assert fates(second) == [Fate.THERE, Fate.THERE, Fate.RETRIEVED]
    assert len(shelf.sent) == len(set(shelf.sent)) == 6


def test_object_that_did_not_come_is_fetched_by_the_next_run_alone(reception: Reception) -> None:
    shelf = shelf_of(1)
    lost = shelf.studies_held[study_of(0)][1].SOPInstanceUID
    shelf.lost.add(lost)

    first = run(shelf, reception, 0)
    reception.registrar.register_all()
    shelf.lost.clear()
    shelf.sent.clear()
    run(shelf, reception, 0)

    assert fates(first) == [Fate.INCOMPLETE]
    assert first.studies[0].reason == "1 object did not come"
    assert not first.is_whole
    assert shelf.sent == [lost]


def test_one_bad_line_stops_no_other(reception: Reception) -> None:
    shelf = shelf_of(4, others={study_of(1)}, down={study_of(2)})

    fetched = run(shelf, reception, 0, 1, 2, 3)

    assert fates(fetched) == [Fate.RETRIEVED, Fate.SET_ASIDE, Fate.FAILED, Fate.RETRIEVED]
    assert [one.line for one in fetched.studies] == [2, 3, 4, 5]


def test_answer_with_studies_of_two_patients_is_of_neither(reception: Reception) -> None:
    class Shared(Shelf):
        def studies(self, wanted: WantedStudy) -> list[FoundStudy]:
            found = super().studies(wanted)
            return [*found, FoundStudy(study_of(9), "B")] if wanted.line == 2 else found

    shelf = Shared(shelf_of(2).studies_held)
    shelf.patients = {study_of(0): "A"}

    fetched = run(shelf, reception, 0, 1)

    assert fates(fetched) == [Fate.SET_ASIDE, Fate.RETRIEVED]
    assert "for 2 patients: add patient_id" in fetched.studies[0].reason


def test_archive_that_is_down_stops_it_after_three_lines(reception: Reception) -> None:
    shelf = shelf_of(9, down={study_of(number) for number in range(9)})

    fetched = run(shelf, reception, *range(9))

    assert fates(fetched) == [Fate.FAILED] * 3
    assert fetched.stopped.startswith("3 lines in a row failed")


def test_full_disk_stops_it_before_the_archive_is_asked_in_vain(reception: Reception) -> None:
    def full() -> AbstractContextManager[FileIntake]:
        raise OutOfResourcesError("less free disk space")

    shelf = shelf_of(3)
    wanted = [WantedStudy(line=n + 2, study_instance_uid=study_of(n)) for n in range(3)]
    fetching = RetrospectiveRun(
        shelf, held=lambda *_: (), open_intake=full, classes=CLASSES, pace=Pace()
    )

    fetched = fetching.fetch(wanted)

    assert (fetched.stopped, fetched.studies, shelf.sent) == ("less free disk space", [], [])
    assert reception.spool.incoming() == []


def test_study_without_mammograms_is_told_as_such(reception: Reception) -> None:
    shelf = Shelf({study_of(0): [mammogram(SOPClassUID="1.2.3")]})

    assert fates(run(shelf, reception, 0)) == [Fate.NO_MAMMOGRAM]


def test_no_more_studies_are_begun_than_the_pace_allows(reception: Reception) -> None:
    slept: list[float] = []

    run(shelf_of(3), reception, 0, 1, 2, pace=Pace(per_hour=60, sleep=slept.append))

    assert len(slept) == 2
    assert all(50 < seconds <= 60 for seconds in slept)


def test_nothing_is_retrieved_outside_of_the_hours(reception: Reception) -> None:
    waits: list[float] = []
    pace = Pace(may_go_on=lambda: len(waits) > 3, sleep=waits.append)

    fetched = run(shelf_of(1), reception, 0, pace=pace)

    assert len(waits) == 4
    assert fates(fetched) == [Fate.RETRIEVED]


def test_dry_run_measures_some_studies_all_over_the_list_and_keeps_none(
    reception: Reception,
) -> None:
    shelf = shelf_of(40)
    trial = Trial(reception.spool.root / "partial", maximum_bytes=10**6, lines=40)

    fetched = run(shelf, reception, *range(40), dry=True, trial=trial)

    tried = set(shelf.sent)
    measured = [
        number
        for number in range(40)
        if {one.SOPInstanceUID for one in shelf.studies_held[study_of(number)]} & tried
    ]
    assert measured == list(range(0, 40, 5))
    said = sum(one.size_bytes for one in fetched.studies)
    real = sum(len(dicom_file(one)) for held in shelf.studies_held.values() for one in held)
    assert said / 100 > trial.bytes_for(said)
    assert real / 2 < trial.bytes_for(said) < real * 2
    assert len(trial.seconds_of_studies(2, said / 40)) == trial.studies == 8
    assert list((reception.spool.root / "partial").iterdir()) == []
    assert reception.spool.incoming() == []


def test_estimate_without_a_measured_study_is_what_the_archive_says(tmp_path: Path) -> None:
    trial = Trial(tmp_path, maximum_bytes=10**6, lines=0)

    assert (trial.bytes_for(40), trial.seconds_of_studies(1, 20_000_000)) == (40, [2.0])


def test_dry_run_says_of_an_archive_that_gives_nothing_out_that_it_fails(
    reception: Reception,
) -> None:
    class Closed(Shelf):
        def retrieve(self, *_: object, **__: object) -> Retrieved:
            raise NotOfferedError("pacs offers neither C-FIND nor C-GET")

    shelf = Closed(shelf_of(2).studies_held)
    trial = Trial(reception.spool.root / "partial", maximum_bytes=10**6, lines=2)

    fetched = run(shelf, reception, 0, 1, dry=True, trial=trial)

    assert fates(fetched) == [Fate.FAILED] * 2


def test_pace_is_held_across_runs(tmp_path: Path) -> None:
    slept: list[float] = []
    for _ in range(3):
        Pace(per_hour=60, sleep=slept.append, starts=StartsFile(tmp_path, "pacs")).wait()

    assert len(slept) == 2
    assert all(50 < seconds <= 60 for seconds in slept)


@pytest.mark.parametrize("content", [b"", b"nan", b"-inf", b"1e999", b"\xff\xfe", b"9" * 500])
def test_start_that_cannot_be_read_costs_one_wait_at_most(tmp_path: Path, content: bytes) -> None:
    slept: list[float] = []
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "pacs.start").write_bytes(content)

    Pace(per_hour=60, sleep=slept.append, starts=StartsFile(tmp_path, "pacs")).wait()

    assert all(0 <= seconds <= 60 for seconds in slept)
    assert float((folder / "pacs.start").read_text()) <= time.time()


def test_study_whose_turn_comes_after_the_hours_waits_for_the_next(tmp_path: Path) -> None:
    open_for = [True, False, False, True, True]
    slept: list[float] = []
    pace = Pace(
        per_hour=60, sleep=slept.append, may_go_on=lambda: open_for.pop(0),
        starts=StartsFile(tmp_path, "pacs"),
    )  # fmt: skip

    pace.wait()

    assert open_for == []
    assert len(slept) == 2


def test_what_waits_to_be_registered_is_not_asked_for_again(reception: Reception) -> None:
    shelf = shelf_of(2)
    run(shelf, reception, 0)

    waiting = waiting_in(reception.spool)

    assert waiting == {(study_of(0), one.SOPInstanceUID) for one in shelf.studies_held[study_of(0)]}
