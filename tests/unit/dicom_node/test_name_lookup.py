"""Names are looked up in bounded time, and what comes late is not lost."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from services import wait_for
from thread_shortage import ThreadShortage

from dicom_node import name_lookup
from dicom_node.name_lookup import connected_to_one_of, look_up

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]


class NameServer:
    """Answers when it may; without end it may not."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = 0
        self.answer: list[Any] | OSError = list(FOUND)

    def __call__(self, *_question: object, **_options: object) -> list[Any]:
        self.asked += 1
        self.may_answer.wait(60)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    monkeypatch.setattr(name_lookup, "_UNDER_WAY", {})
    yield server
    server.may_answer.set()


def look_up_in_vain() -> None:
    with pytest.raises(socket.gaierror, match=r"no name server answered within 0\.05 s"):
        look_up("archive.example", 0.05)


def test_answer_that_comes_after_all_have_given_up_is_the_next_ones(
    name_server: NameServer,
) -> None:
    for _ in range(3):
        look_up_in_vain()
    assert name_server.asked == 1

    name_server.may_answer.set()
    assert look_up("archive.example", 60) == ("192.0.2.7",)
    assert name_server.asked == 1


def test_answer_that_was_taken_is_asked_for_anew(name_server: NameServer) -> None:
    name_server.may_answer.set()
    look_up("archive.example", 60)
    name_server.answer = [(*FOUND[0][:4], ("192.0.2.8", 0))]

    assert look_up("archive.example", 60) == ("192.0.2.8",)


def test_late_answer_of_long_ago_counts_no_more(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up_in_vain()
    name_server.may_answer.set()
    (late,) = name_lookup._UNDER_WAY.values()
    assert late.addresses(60) == ("192.0.2.7",)
    monkeypatch.setattr(name_lookup, "_KEPT_SECONDS", -1.0)
    name_server.answer = [(*FOUND[0][:4], ("192.0.2.8", 0))]

    assert look_up("archive.example", 60) == ("192.0.2.8",)


def test_name_that_nobody_has_is_asked_for_again(name_server: NameServer) -> None:
    name_server.may_answer.set()
    name_server.answer = socket.gaierror(socket.EAI_NONAME, "unknown")
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="no such name"):
            look_up("archive.example", 60)

    assert name_server.asked == 2


def test_name_is_asked_for_again_once_there_are_threads(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server.may_answer.set()
    shortage = ThreadShortage(monkeypatch, "look up")
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="no thread can be started"):
            look_up("archive.example", 60)
    shortage.is_on = False

    assert look_up("archive.example", 60) == ("192.0.2.7",)


def test_question_that_is_never_answered_is_asked_anew_by_few_threads(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up_in_vain()
    look_up_in_vain()
    assert name_server.asked == 1
    monkeypatch.setattr(name_lookup, "_LOST_SECONDS", -1.0)
    for _ in range(10):
        look_up_in_vain()
    assert name_server.asked == 4

    name_server.may_answer.set()
    assert look_up("archive.example", 60) == ("192.0.2.7",)


def test_silence_about_one_host_keeps_no_other_waiting(name_server: NameServer) -> None:
    look_up_in_vain()
    other = threading.Thread(target=lambda: look_up("other.example", 60), daemon=True)
    other.start()

    wait_for(lambda: name_server.asked == 2, seconds=20, what="the other host is asked for")


def test_next_address_is_tried_where_nobody_answers() -> None:
    def connect(address: str, _seconds: float) -> str:
        if address != "b":
            raise ConnectionRefusedError(address)
        return address

    assert connected_to_one_of(["a", "b", "c"], connect, 60) == "b"
    with pytest.raises(ConnectionRefusedError, match="c"):
        connected_to_one_of(["a", "c"], connect, 60)


def test_addresses_share_the_time_in_which_one_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, shares = [0.0], []
    monkeypatch.setattr(name_lookup.time, "monotonic", lambda: now[0])

    def connect(_address: str, seconds: float) -> None:
        shares.append(seconds)
        now[0] += seconds if len(shares) > 1 else 0.0  # the first one refuses at once
        raise TimeoutError("silent")

    with pytest.raises(TimeoutError, match="silent"):
        connected_to_one_of(["a", "b", "c"], connect, 30)
    assert shares == [10.0, 15.0, 15.0]
    with pytest.raises(TimeoutError, match="no time is left"):
        connected_to_one_of(["a"], connect, 0)
