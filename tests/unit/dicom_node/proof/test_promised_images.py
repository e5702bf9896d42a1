"""Images that the node has committed to keep are looked for at the archives that hold images."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from node_factory import NOW, instance_row, study_row
from proving_archive import ProvingArchive, answer
from sqlalchemy import select, update

from dicom_node.proof.images import ImageSearch
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.removal.removing import finished_studies
from dicom_node.studies.ledger.spools import FIRST
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Instance, Study

SERIES = "1.2.3.4"


@pytest.fixture
def archive_with() -> Iterator[Callable[..., ProvingArchive]]:
    started: list[ProvingArchive] = []

    def start(*held: str, **behaviour: Any) -> ProvingArchive:
        archive = ProvingArchive(**behaviour)
        archive.held.update(dict.fromkeys(held, "class"))
        started.append(archive.start())
        return archive

    yield start
    for one in started:
        one.stop()


def settings_of(*archives: ProvingArchive, days: float | None = 30, **changes: Any) -> Settings:
    values: dict[str, Any] = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "timeout_seconds": 5}
    values |= {"holds_images": True, **changes}
    return Settings(
        destinations=tuple(
            DicomDestination(name=f"archive-{number}", port=one.port, **values)
            for number, one in enumerate(archives)
        ),
        retention=RetentionSettings(days=days),
    )


def promised(database: Database, *uids: str, **columns: Any) -> None:
    values = {"committed_at": NOW, "series_instance_uid": SERIES, **columns}
    with database.writing() as session:
        study = study_row(session, "1.2.3", state=StudyState.SETTLED, remark="nothing to analyse")
        session.execute(update(Study).values(last_received_at=NOW))
        for uid in uids:
            instance_row(session, study, sop_instance_uid=uid, **values)


def found(database: Database) -> set[str]:
    with database.reading() as session:
        query = select(Instance.sop_instance_uid).where(Instance.archived_at.is_not(None))
        return set(session.scalars(query))


def may_be_removed(database: Database) -> bool:
    with database.reading() as session:
        studies, _ = finished_studies(
            session, FIRST, confirming=(), received_before=datetime.now(UTC)
        )
    return bool(studies)


def test_study_may_be_removed_once_every_promised_image_was_found(
    database: Database, archive_with: Callable[..., ProvingArchive]
) -> None:
    archive = archive_with("1.1")
    promised(database, "1.1", "1.2")
    settings = settings_of(archive)

    ImageSearch(settings, database).tick()
    assert found(database) == {"1.1"}
    assert not may_be_removed(database)

    archive.held["1.2"] = "class"
    ImageSearch(settings, database).tick()
    assert found(database) == {"1.1", "1.2"}
    assert may_be_removed(database)
    # Asked for by all of its UIDs, and for what was found no more.
    asked = [(one.StudyInstanceUID, one.SeriesInstanceUID) for one in archive.asked]
    assert asked == [("1.2.3", SERIES)] * 3


def test_promised_image_is_looked_for_after_a_note_rejected_it(
    database: Database, archive_with: Callable[..., ProvingArchive]
) -> None:
    promised(database, "1.1", state=InstanceState.SET_ASIDE, reason="rejected")
    promised_elsewhere = {"state": InstanceState.REPLACED, "place": ""}
    with database.writing() as session:
        session.execute(update(Instance).values(place="studies/1/1.dcm"))
        study = session.scalars(select(Study)).one()
        instance_row(session, study, sop_instance_uid="1.2", committed_at=NOW, **promised_elsewhere)
    archive = archive_with("1.1", "1.2")
    assert not may_be_removed(database)

    ImageSearch(settings_of(archive), database).tick()

    assert found(database) == {"1.1"}
    assert may_be_removed(database)


def test_one_archive_of_several_suffices(
    database: Database, archive_with: Callable[..., ProvingArchive]
) -> None:
    archives = archive_with("1.1"), archive_with("1.2")
    promised(database, "1.1", "1.2")

    ImageSearch(settings_of(*archives), database).tick()

    assert found(database) == {"1.1", "1.2"}
    assert [str(one.SOPInstanceUID) for one in archives[1].asked] == ["1.2"]


def test_archive_that_is_silent_or_shows_something_else_proves_nothing(
    database: Database, archive_with: Callable[..., ProvingArchive], log_lines: list[Any]
) -> None:
    another = archive_with(find=lambda *_: iter([(0xFF00, answer("9.9"))]))
    fails = archive_with("1.1", find=lambda *_: iter([(0xA700, None)]))
    without = archive_with("1.1", finds=False)
    promised(database, "1.1")
    search = ImageSearch(settings_of(another, fails, without), database, clock=lambda: 0.0)

    for _ in range(2):
        search._pause_until = 0.0
        search.tick()

    assert found(database) == set()
    told = [one["destination"] for one in log_lines if one["event"] == "images_not_asked"]
    assert told == ["archive-1", "archive-2"]


@pytest.mark.parametrize(
    "columns", [{"committed_at": None}, {"archived_at": NOW}, {"state": InstanceState.REPLACED}]
)
def test_nobody_is_asked_for_what_was_not_promised_or_is_found(
    database: Database, archive_with: Callable[..., ProvingArchive], columns: dict[str, Any]
) -> None:
    archive = archive_with("1.1")
    promised(database, "1.1", **columns)

    ImageSearch(settings_of(archive), database).tick()

    assert archive.associations == 0


def test_all_images_are_asked_for_portion_by_portion_and_then_nobody_for_a_while(
    database: Database,
    archive_with: Callable[..., ProvingArchive],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dicom_node.proof.images._PORTION", 2)
    uids = [f"1.{number}" for number in range(1, 6)]
    archive = archive_with(*uids[1:])
    promised(database, *uids)
    now = 0.0
    search = ImageSearch(settings_of(archive), database, clock=lambda: now)

    assert [search.tick() for _ in range(5)] == [1, 2, 1, 0, 0]
    assert len(archive.asked) == 5
    now = 601.0
    assert search.tick() == 0
    assert str(archive.asked[-1].SOPInstanceUID) == "1.1"


def test_archives_are_asked_only_where_the_settings_say_so() -> None:
    archive = ProvingArchive()

    def is_wanted(**changes: Any) -> bool:
        settings = settings_of(archive, **changes)
        return ImageSearch(settings, Database("sqlite://")).is_wanted

    assert is_wanted()
    assert not is_wanted(holds_images=False)
    assert not is_wanted(days=None)
