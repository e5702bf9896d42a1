"""What is announced of a study by MPPS and IAN is a sign by which it settles."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from announced_factory import ANNOUNCERS, STEP, available, begun, change, create, ended, kept, uids
from archive_double import stored
from listener_factory import Listening
from node_factory import NOW, STUDY_UID, Reception, mammogram
from ports import free_port
from sending import send
from services import wait_for
from sqlalchemy import select

from dicom_node.node_process import running_node
from dicom_node.receive.announcing.announcements import Announcements
from dicom_node.settings.settings import Settings
from dicom_node.spool.messages.announced_steps import (
    AnnouncedStep,
    AnnouncedSteps,
    DoubledStepError,
)
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.procedure_steps.tables import AnnouncedStudy
from dicom_node.studies.ledger.removal.erasing import erase_study
from dicom_node.studies.ledger.states import StudyState
from dicom_node.studies.ledger.tables import Study, Transition
from dicom_node.studies.settling import (
    Patience,
    SettlingRounds,
    complete_studies,
    settle_if_complete,
)

PATIENT = Patience(idle=timedelta(minutes=5), grace=timedelta(minutes=5))

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def announced(reception: Reception) -> Callable[..., None]:
    """Return what enters a step as the listener and the node do."""

    def enter(
        images: Iterable[str], *, state: str = "completed", kind: str = "mpps", uid: str = STEP,
        patient: str = "",
    ) -> None:  # fmt: skip
        steps = AnnouncedSteps(reception.spool.root)
        step = AnnouncedStep(
            sop_instance_uid=uid, kind=kind, state=state, studies={STUDY_UID: patient},
            images=[*images],
        )  # fmt: skip
        steps.create(step)
        Announcements(reception.spool, reception.database).step()

    return enter


def settled(reception: Reception, at: timedelta = timedelta(seconds=1)) -> bool:
    """Look at the studies as the node does a moment after the last image."""
    now = datetime.now(UTC) + at  # images were received by this clock
    with reception.database.writing() as session:
        portion = SettlingRounds().next_portion(session, patience=PATIENT, at=now)
        for study in complete_studies(session, portion, sent=[], patience=PATIENT, at=now):
            settle_if_complete(session, study, sent=[], patience=PATIENT, at=now)
    return reception.study().state is StudyState.SETTLED


def why(reception: Reception) -> str:
    with reception.database.reading() as session:
        query = select(Transition.reason).where(Transition.event == "settle")
        return str(session.scalars(query).one())


def receive(reception: Reception, *instances: str) -> None:
    for uid in instances:
        reception.receive(mammogram(SOPInstanceUID=uid))


@pytest.mark.parametrize("kind", ["mpps", "ian"])
def test_study_settles_at_once_when_all_that_was_announced_is_here(
    reception: Reception, announced: Callable[..., None], kind: str
) -> None:
    receive(reception, uids(2)[0])
    announced(uids(2), kind=kind)
    assert not settled(reception)
    receive(reception, uids(2)[1])

    assert settled(reception)
    assert f"all 2 that {kind.upper()} announced are here" in why(reception)


def test_study_settles_as_before_without_announcements(reception: Reception) -> None:
    receive(reception, *uids(2))

    assert not settled(reception)
    assert settled(reception, timedelta(minutes=6))
    assert why(reception) == "2 images to analyse"


def test_step_in_progress_is_no_sign(reception: Reception, announced: Callable[..., None]) -> None:
    receive(reception, *uids(2))
    announced(uids(2), state="in progress")

    assert not settled(reception)


def test_study_waits_for_every_step_of_it(
    reception: Reception, announced: Callable[..., None]
) -> None:
    receive(reception, *uids(3))
    announced(uids(2))
    announced(uids(3)[2:], state="in progress", uid=f"{STEP}.2")

    assert not settled(reception)


def test_discontinued_step_keeps_what_came_and_is_not_waited_for(
    reception: Reception, announced: Callable[..., None]
) -> None:
    receive(reception, uids(2)[0])
    announced(uids(2), state="discontinued")

    assert settled(reception)
    assert f"1 of 2 that MPPS announced have not come: {uids(2)[1]}" in why(reception)


def test_what_is_missing_of_a_notification_is_named_when_time_is_up(
    reception: Reception, announced: Callable[..., None]
) -> None:
    receive(reception, uids(2)[0])
    announced(uids(2), kind="ian")

    assert not settled(reception)
    assert settled(reception, timedelta(minutes=6))
    assert f"1 of 2 that IAN announced have not come: {uids(2)[1]}" in why(reception)


def test_what_is_unavailable_is_not_waited_for(listening: Listening, reception: Reception) -> None:
    _, port = listening(**ANNOUNCERS)
    receive(reception, uids(2)[0])
    assert create(port, available(uids(1), uids(2)[1]), ian=True) == 0x0000

    Announcements(reception.spool, reception.database).step()

    assert settled(reception)


@pytest.mark.parametrize("ian", [True, False], ids=["IAN", "MPPS"])
def test_announcement_of_another_patient_does_not_count(
    listening: Listening, reception: Reception, ian: bool
) -> None:
    _, port = listening(**ANNOUNCERS)
    receive(reception, *uids(2))
    if ian:
        assert create(port, available(uids(2), patient="FREMD-1"), ian=True) == 0x0000
    else:
        assert create(port, begun(patient="FREMD-1")) == 0x0000
        assert change(port, ended(uids(2))) == 0x0000
    Announcements(reception.spool, reception.database).step()

    assert not settled(reception)
    assert settled(reception, timedelta(minutes=6))
    assert "of another patient does not count" in why(reception)


def test_notification_of_images_of_another_study_is_set_aside_with_the_reason(
    reception: Reception, announced: Callable[..., None], log_lines: list[Any]
) -> None:
    receive(reception, uids(1)[0])
    reception.receive(mammogram(SOPInstanceUID="1.2.9.1", StudyInstanceUID=f"{STUDY_UID}.8"))
    announced([*uids(1), "1.2.9.1"], kind="ian")

    (row,) = reception.rows(AnnouncedStudy)
    assert row.remark == "the IAN lists images that are of another study here"
    assert [one for one in log_lines if one["event"] == "announcement_set_aside"]
    assert not settled(reception)


def test_step_of_a_study_of_which_nothing_came_waits_for_it(
    reception: Reception, announced: Callable[..., None]
) -> None:
    announced(uids(1))
    assert reception.rows(Study) == []
    receive(reception, *uids(1))

    assert settled(reception)


def test_node_that_is_killed_before_or_after_the_ledger_enters_a_step_once(
    reception: Reception, announced: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AnnouncedSteps, "entered", killed)
        announced(uids(1))
    for _ in range(2):
        Announcements(reception.spool, reception.database).step()

    assert len(reception.rows(AnnouncedStudy)) == 1
    assert kept(reception.spool) == [], "nothing of a study is left in the file"
    with pytest.raises(DoubledStepError):
        announced(uids(1))


def test_erased_study_leaves_no_announcement(
    reception: Reception, announced: Callable[..., None]
) -> None:
    receive(reception, *uids(1))
    announced(uids(1))
    settled(reception)
    with reception.database.writing() as session:
        erase_study(session, STUDY_UID, force=True, at=NOW)
    Announcements(reception.spool, reception.database).step()

    assert reception.rows(AnnouncedStudy) == []


@pytest.mark.long
def test_running_node_settles_a_study_by_what_its_modality_announces(
    tmp_path: Path, database: Database
) -> None:
    del database  # the node makes its own
    settings = Settings(
        spool=tmp_path / "node",
        receive={"port": free_port(), "minimum_free_bytes": 1, **ANNOUNCERS},
        settling={"idle_seconds": 10_000, "grace_seconds": 10_000},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )
    images = stored(*(mammogram(SOPInstanceUID=uid) for uid in uids(2)))
    with running_node(settings):
        port = settings.receive.port
        assert create(port, begun()) == 0x0000
        assert send(images, port) == [0, 0]
        assert change(port, ended(uids(2))) == 0x0000

        ledger = Database(settings.ledger_url)

        def settled_ones() -> list[Study]:
            with ledger.reading() as session:
                query = select(Study).where(Study.state == StudyState.SETTLED)
                return list(session.scalars(query))

        wait_for(settled_ones, seconds=60, what="the study settles")
        ledger.close()
