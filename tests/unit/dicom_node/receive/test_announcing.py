"""A modality announces what it makes (MPPS), and an archive what it has (IAN): the listener."""

import os
import signal

import pytest
from announced_factory import (
    ANNOUNCERS,
    STEP,
    available,
    begun,
    change,
    create,
    ended,
    kept,
    uids,
)
from listener_factory import Listening, associated
from node_factory import PATIENT_WORDS, STUDY_UID
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.receive.announcing.announced_content import MalformedError, step_in
from dicom_node.receive.announcing.announcing import AVAILABILITY
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.announced_steps import AnnouncedStep, AnnouncedSteps


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_step_is_safe_on_disk_before_it_is_answered_and_holds_no_patient(
    listening: Listening, spool: Spool, syntax: str
) -> None:
    _, port = listening(**ANNOUNCERS)

    assert create(port, begun(), syntax=syntax) == 0x0000
    assert change(port, ended(uids(2))) == 0x0000

    (step,) = kept(spool)
    assert (step.kind, step.state, step.images) == ("mpps", "completed", uids(2))
    assert list(step.studies) == [STUDY_UID]
    (file,) = (spool.root / "announced").glob("*.json")
    assert not [word for word in PATIENT_WORDS if word in file.read_text()]
    assert file.stat().st_mode & 0o077 == 0


def test_neither_is_offered_by_default_or_to_anybody_else(listening: Listening) -> None:
    _, port = listening()
    assert create(port, begun()) is None
    _, port = listening(**ANNOUNCERS)
    assert create(port, begun(), calling="STRANGER") is None


def test_second_n_create_is_answered_with_duplicate_instance(
    listening: Listening, spool: Spool
) -> None:
    _, port = listening(**ANNOUNCERS)
    for ian in (False, True):
        message = available(uids(1)) if ian else begun()
        assert create(port, message, f"{STEP}.{ian:d}", ian=ian) == 0x0000
        assert create(port, message, f"{STEP}.{ian:d}", ian=ian) == 0x0111
    assert len(kept(spool)) == 2


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
def test_step_that_has_ended_is_changed_no_more(
    listening: Listening, spool: Spool, status: str
) -> None:
    _, port = listening(**ANNOUNCERS)
    create(port, begun())
    assert change(port, ended(uids(1), status=status)) == 0x0000

    assert change(port, ended(uids(2))) == 0x0110

    assert kept(spool)[0].images == uids(1)


def test_change_of_an_unknown_step_is_answered_with_no_such_instance(listening: Listening) -> None:
    _, port = listening(**ANNOUNCERS)

    assert change(port, ended(uids(1)), "1.2.3.999") == 0x0112


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (begun(status="COMPLETED"), 0x0106),
        (begun(status="NONSENSE"), 0x0106),
        (begun(status=""), 0x0120),
        (begun(""), 0x0120),
    ],
    ids=["ended at once", "nonsense", "no status", "no study"],
)
def test_step_that_cannot_begin_like_this_is_answered_with_the_reason(
    listening: Listening, spool: Spool, message: Dataset, status: int
) -> None:
    _, port = listening(**ANNOUNCERS)

    assert create(port, message) == status
    assert kept(spool) == []


def test_notification_cannot_be_changed(listening: Listening, spool: Spool) -> None:
    _, port = listening(**ANNOUNCERS)
    create(port, available(uids(1)), ian=True)
    with associated(port, (AVAILABILITY, [ImplicitVRLittleEndian])) as association:
        status, _ = association.send_n_set(ended(uids(2)), AVAILABILITY, STEP)

    assert status.Status == 0x0118
    assert kept(spool)[0].images == uids(1)


def test_notification_without_a_name_gets_one(listening: Listening, spool: Spool) -> None:
    _, port = listening(**ANNOUNCERS)

    assert create(port, available(uids(1)), None, ian=True) == 0x0000  # type: ignore[arg-type]

    (step,) = kept(spool)
    assert step.sop_instance_uid.startswith("2.25.")


def test_full_disk_is_answered_with_resource_limitation(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.spool.messages.announced_steps._MOST", 0)
    _, port = listening(**ANNOUNCERS)

    assert create(port, begun()) == 0x0213


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 9000])
def test_bytes_that_are_no_data_set_cost_nothing_but_their_answer(
    listening: Listening, spool: Spool, content: bytes
) -> None:
    try:
        found = step_in(content, ImplicitVRLittleEndian, None)
    except MalformedError:
        return
    assert not found.studies


def test_peer_that_is_killed_while_it_announces_leaves_the_step_whole_or_not_at_all(
    spool: Spool,
) -> None:
    steps = AnnouncedSteps(spool.root)
    step = AnnouncedStep(
        sop_instance_uid=STEP, kind="mpps", state="in progress", studies={STUDY_UID: ""}, images=[]
    )
    child = os.fork()
    if child == 0:
        os.rename = os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        steps.create(step)
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert kept(spool) == []
    steps.create(step)
    assert kept(spool) == [step]
