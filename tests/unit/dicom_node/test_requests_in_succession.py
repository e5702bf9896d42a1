"""Requests that follow one another at once on one association each get their own answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ports import free_port
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.sop_class import Verification

from dicom_node.deadline import Deadline
from dicom_node.network import associate
from dicom_node.settings.ways_out.destinations import DicomDestination

CONTEXT = (str(Verification), str(ImplicitVRLittleEndian))


@contextmanager
def archive(seconds_to_answer: float = 0.0) -> Iterator[DicomDestination]:
    """Run an archive that answers C-ECHO, and give how to reach it."""

    def answer(_: evt.Event) -> int:
        time.sleep(seconds_to_answer)
        return 0x0000

    entity, port = AE("ARCHIVE"), free_port()
    entity.add_supported_context(Verification)
    handlers: list[Any] = [(evt.EVT_C_ECHO, answer)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield DicomDestination(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    finally:
        server.shutdown()


def echo(destination: DicomDestination, times: int) -> int:
    """Ask so many times on one association; return how many answers came."""
    with Deadline() as deadline:
        association = associate(destination, "NODE", [CONTEXT], deadline=deadline)
        answers = [association.send_c_echo() for _ in range(times)]
        association.release()
    return sum(answer.get("Status") == 0x0000 for answer in answers)


@pytest.fixture
def slow_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the association's thread be overtaken between being let go and saying so."""

    def stored(association: Association) -> bool:
        return bool(association.__dict__.get("paused", False))

    def store(association: Association, value: bool) -> None:
        if not value and threading.current_thread() is association:
            time.sleep(0.01)
        association.__dict__["paused"] = value

    monkeypatch.setattr(Association, "_is_paused", property(stored, store), raising=False)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of each look for a message by the association's thread whether a request is open."""
    seen: list[bool] = []
    send, get = DIMSEServiceProvider.send_msg, DIMSEServiceProvider.get_msg

    def sent(self: DIMSEServiceProvider, *arguments: Any) -> None:
        if self.assoc.is_requestor:
            self.request_is_open = True  # type: ignore[attr-defined]
        send(self, *arguments)

    def got(self: DIMSEServiceProvider, block: bool = False) -> Any:
        if self.assoc.is_requestor and threading.current_thread() is self.assoc:
            seen.append(getattr(self, "request_is_open", False))
        answer = get(self, block)
        if block:
            self.request_is_open = False  # type: ignore[attr-defined]
        return answer

    monkeypatch.setattr(DIMSEServiceProvider, "send_msg", sent)
    monkeypatch.setattr(DIMSEServiceProvider, "get_msg", got)
    return seen


@pytest.mark.usefixtures("slow_to_leave")
def test_no_answer_is_taken_by_the_library_s_own_thread(looks: list[bool]) -> None:
    with archive(seconds_to_answer=0.03) as destination:
        assert echo(destination, times=5) == 5

    assert looks
    assert not any(looks)


def test_requests_in_succession_are_all_answered() -> None:
    with archive() as destination:
        assert echo(destination, times=300) == 300


@pytest.mark.long
def test_requests_beside_one_another_are_all_answered() -> None:
    answered: list[int] = []
    with archive() as destination:
        threads = [
            threading.Thread(target=lambda: answered.append(echo(destination, times=2000)))
            for _ in range(6)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    assert answered == [2000] * 6


def test_association_that_the_peer_ended_does_not_hold_who_asks() -> None:
    with archive() as destination, Deadline() as deadline:
        association = associate(destination, "NODE", [CONTEXT], deadline=deadline)
        association.abort()
        association.join(timeout=10)
        before = time.monotonic()
        association._reactor_checkpoint.clear()
        assert time.monotonic() - before < 10
        assert not association.is_alive()
