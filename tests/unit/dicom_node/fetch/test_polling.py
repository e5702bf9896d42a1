"""An archive that does not push is asked for what is new; each object is fetched once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from files_on_disk import dicom_file
from node_factory import NOW, STUDY_UID, Reception, mammogram
from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError
from dicom_node.fetch.asked_for import Retrieved
from dicom_node.fetch.found_objects import FoundObject, FoundStudy
from dicom_node.fetch.new_studies import StudiesByDate
from dicom_node.fetch.poll_state import PollStateFile
from dicom_node.fetch.polling import ArchivePoll
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.file_intake import FileIntake
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.poll import PollSettings
from dicom_node.studies.ledger.tables import Instance

STUDY = f"{STUDY_UID}.1"
OTHER = f"{STUDY_UID}.2"

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""One ledger will do: what is asked of it is one plain query."""


def images_of(study: str, *, day: datetime = NOW, sides: str = "LR") -> list[Dataset]:
    return [
        mammogram("CC", side, StudyInstanceUID=study, StudyDate=f"{day:%Y%m%d}") for side in sides
    ]


@dataclass
class Shelf:
    """An archive in memory that fails where a test wants it to."""

    images: list[Dataset]
    lost: set[str] = field(default_factory=set)
    is_down: bool = False
    dies_at: str = ""
    asked: list[WantedStudy] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)

    def studies(self, wanted: WantedStudy) -> list[FoundStudy]:
        if self.is_down:
            raise DestinationDownError("pacs does not answer")
        self.asked.append(wanted)
        uids = [
            one.StudyInstanceUID
            for one in self.images
            if one.StudyInstanceUID == wanted.study_instance_uid
            or wanted.first_date <= one.StudyDate <= wanted.last_date
        ]
        return [FoundStudy(uid, "", uids.count(uid)) for uid in dict.fromkeys(uids)]

    def objects(self, study: FoundStudy, classes: frozenset[str]) -> list[FoundObject]:
        self.looked_at.append(study.study_instance_uid)
        return [
            FoundObject(
                series_instance_uid=one.SeriesInstanceUID,
                sop_instance_uid=one.SOPInstanceUID,
                sop_class_uid=one.SOPClassUID,
                size_bytes=1000,
            )
            for one in self.images
            if one.StudyInstanceUID == study.study_instance_uid and one.SOPClassUID in classes
        ]

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: FileIntake,
    ) -> Retrieved:
        del classes
        got = Retrieved()
        for uid in [one.sop_instance_uid for one in objects]:
            if uid in self.lost:
                raise DestinationDownError("pacs answers WADO-RS with HTTP 404")
            if study.study_instance_uid == self.dies_at:
                raise KeyboardInterrupt
            image = next(one for one in self.images if one.SOPInstanceUID == uid)
            intake.take(BytesIO(dicom_file(image)))
            got.kept.add(uid)
            self.sent.append(uid)
        return got


class Clocks:
    """The clock of the ledger, which a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def seconds(self) -> float:
        return (self.now - NOW).total_seconds()


@pytest.fixture
def clocks(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(reception.database, "now", lambda: clocks.now)
    return clocks


@pytest.fixture
def begun(reception: Reception, clocks: Clocks) -> Callable[[Shelf], ArchivePoll]:
    """Return what starts polling an archive, as a node that starts does."""
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}
    settings = Settings(
        destinations=[destination], poll=[{"archive": "pacs"}], receive={"minimum_free_bytes": 1}
    )

    def begin(shelf: Shelf) -> ArchivePoll:
        return ArchivePoll(
            PollSettings(archive="pacs"),
            shelf,
            StudiesByDate(shelf, overlap_days=3),
            settings=settings,
            spool=reception.spool,
            database=reception.database,
            stopping=threading.Event(),
            clock=clocks.seconds,
        )

    return begin


def events(log_lines: list[Any]) -> list[str]:
    return [one["event"] for one in log_lines if str(one["event"]).startswith("poll_")]


def test_each_object_is_fetched_once_and_late_images_too(
    reception: Reception, clocks: Clocks, begun: Any
) -> None:
    report = mammogram(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", StudyInstanceUID=STUDY,
        StudyDate=f"{NOW:%Y%m%d}",
    )  # fmt: skip
    shelf = Shelf([*images_of(STUDY), report])
    poll = begun(shelf)

    for _ in range(2):  # before the registrar has seen them
        poll.step()
        clocks.now += timedelta(minutes=2)
    reception.registrar.register_all()
    poll.step()
    late = images_of(STUDY, sides="L")[0]
    shelf.images.append(late)
    clocks.now += timedelta(minutes=2)
    poll.step()

    images = [one.SOPInstanceUID for one in shelf.images if one is not report]
    assert shelf.sent == images
    assert late.SOPInstanceUID in images
    assert shelf.looked_at == [STUDY, STUDY]


def test_study_whose_files_were_removed_is_not_fetched_again(
    reception: Reception, begun: Any
) -> None:
    shelf = Shelf(images_of(STUDY))
    begun(shelf).step()
    reception.registrar.register_all()
    with reception.database.writing() as session:
        for row in session.query(Instance):
            row.removed_at = NOW

    begun(shelf).step()

    assert len(shelf.sent) == 2
    assert shelf.looked_at == [STUDY, STUDY]


def test_crash_between_two_studies_loses_none(reception: Reception, begun: Any) -> None:
    shelf = Shelf([*images_of(STUDY), *images_of(OTHER)], dies_at=OTHER)
    with pytest.raises(KeyboardInterrupt):
        begun(shelf).step()
    reception.registrar.register_all()

    shelf.dies_at = ""
    begun(shelf).step()

    assert shelf.sent == [one.SOPInstanceUID for one in shelf.images]


def test_what_came_while_the_node_was_off_is_found_by_the_cursor(
    clocks: Clocks, begun: Any
) -> None:
    shelf = Shelf([])
    begun(shelf).step()
    clocks.now += timedelta(days=40)
    shelf.images += images_of(STUDY, day=NOW + timedelta(days=2))
    shelf.images += images_of(OTHER, day=NOW - timedelta(days=3))

    begun(shelf).step()

    assert len(shelf.sent) == 4


def test_clock_that_was_ahead_skips_no_day(clocks: Clocks, begun: Any) -> None:
    shelf = Shelf([])
    clocks.now = NOW + timedelta(days=2000)
    begun(shelf).step()
    clocks.now = NOW
    shelf.images += images_of(STUDY, day=NOW + timedelta(days=1))
    shelf.asked.clear()

    begun(shelf).step()

    assert len(shelf.sent) == 2
    assert len([one for one in shelf.asked if one.first_date]) == 5


def test_failed_study_is_named_once_and_tried_at_growing_pauses(
    reception: Reception, clocks: Clocks, begun: Any, log_lines: list[Any]
) -> None:
    shelf = Shelf([*images_of(STUDY), *images_of(OTHER)])
    first, second = (one.SOPInstanceUID for one in shelf.images[:2])
    shelf.lost.add(first)
    tried = 0
    for _ in range(32):
        poll = begun(shelf)  # the pauses survive restarts
        looked = shelf.looked_at.count(STUDY)
        poll.step()
        reception.registrar.register_all()
        tried += shelf.looked_at.count(STUDY) - looked
        clocks.now += timedelta(minutes=1)

    assert tried == 6
    assert second in shelf.sent
    assert len(shelf.sent) == len(set(shelf.sent)) == 3
    assert events(log_lines) == ["poll_study_failed"]

    shelf.lost.clear()
    clocks.now += timedelta(minutes=40)
    begun(shelf).step()
    assert first in shelf.sent
    assert events(log_lines) == ["poll_study_failed", "poll_study_fetched"]


def test_failed_study_is_given_up_two_weeks_after_it_left_the_window(
    reception: Reception, clocks: Clocks, begun: Any, log_lines: list[Any]
) -> None:
    shelf = Shelf(images_of(STUDY))
    shelf.lost |= {one.SOPInstanceUID for one in shelf.images}
    poll = begun(shelf)
    for _ in range(20):
        poll.step()
        clocks.now += timedelta(days=1)

    assert events(log_lines) == ["poll_study_failed", "poll_given_up"]
    assert PollStateFile(reception.spool.root, "pacs").read("search").failed == {}


def test_archive_that_is_down_is_named_once_and_asked_at_growing_pauses(
    clocks: Clocks, begun: Any, log_lines: list[Any]
) -> None:
    shelf = Shelf(images_of(STUDY), is_down=True)
    poll = begun(shelf)
    for _ in range(30):
        poll.step()
        clocks.now += timedelta(minutes=1)
    shelf.is_down = False
    clocks.now += timedelta(minutes=10)
    poll.step()

    assert events(log_lines) == ["poll_failed", "poll_works_again"]
    assert len(shelf.sent) == 2


def test_state_that_cannot_be_read_begins_anew(
    reception: Reception, begun: Any, log_lines: list[Any]
) -> None:
    shelf = Shelf(images_of(STUDY))
    begun(shelf).step()
    reception.registrar.register_all()
    (reception.spool.root / "polls" / "pacs.json").write_text("{")

    begun(shelf).step()

    assert len(shelf.sent) == 2
    assert events(log_lines) == ["poll_begins_anew"]
