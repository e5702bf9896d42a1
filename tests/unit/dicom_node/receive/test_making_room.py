"""Associations that do nothing make room for others; those at work are never ended for one."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from listener_factory import Listening, store
from node_factory import encoded, mammogram
from raw_peer import (
    ABORT,
    ASSOCIATE_RJ,
    RawPeer,
    association_request,
    echo_command,
    p_data,
    pdv,
    store_command,
    store_request,
)

from dicom_node.receive.upper_layer.making_room import (
    PAUSE_SECONDS,
    STALLED_SECONDS,
    Activity,
    ServedAssociation,
    association_to_end,
)

COMMAND = p_data(pdv(store_command(), is_command=True))
HELD = {
    "silent": b"",
    "in a command": p_data(pdv(b"\0", is_command=True, is_last=False)),
    "in an object": COMMAND + p_data(pdv(b"begun", is_last=False)),
    "in a PDU": b"\x04\0\0\0\x10",
}


@pytest.mark.parametrize(
    "limit", [{"maximum_associations_per_address": 2}, {"maximum_associations": 2}]
)
@pytest.mark.parametrize("held", HELD)
def test_associations_that_do_nothing_shut_nobody_out(
    listening: Listening, log_lines: list[Any], limit: dict[str, int], held: str
) -> None:
    _, port = listening(places_for_known_senders=0, **limit)

    with RawPeer(port).associate(calling=b"HELD") as first, RawPeer(port).associate() as second:
        first.write(HELD[held])
        second.write(HELD[held])
        assert store(port, encoded(mammogram())) == 0x0000
        assert first.read()[0] == ABORT

    ended = [line for line in log_lines if line.get("reason") == "crowded-out"]
    assert [line["calling_ae_title"] for line in ended] == ["HELD"]


def test_association_that_has_brought_something_makes_room_later(listening: Listening) -> None:
    _, port = listening(maximum_associations_per_address=1)

    with RawPeer(port).associate() as peer:
        peer.write(store_request(b"data"))
        assert peer.status() == 0x0000
        assert store(port, encoded(mammogram())) == 0x0000


@contextmanager
def at_work(port: int) -> Iterator[RawPeer]:
    """Hold an association over which an object comes all the time."""
    with RawPeer(port).associate() as peer:
        peer.write(COMMAND)
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.02):
                peer.write(p_data(pdv(bytes(20_000), is_last=False)))

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield peer
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("limit", ["maximum_associations_per_address", "maximum_associations"])
def test_association_at_work_is_not_ended_for_another(
    listening: Listening, log_lines: list[Any], limit: str
) -> None:
    _, port = listening(places_for_known_senders=0, **{limit: 2})

    with at_work(port), at_work(port), RawPeer(port) as third:
        third.write(association_request())
        kind, content = third.read()
    assert (kind, content[1:]) == (ASSOCIATE_RJ, bytes([2, 3, 2]))
    assert next(line["detail"] for line in log_lines).endswith(f"receive.{limit}")


def test_flood_of_echoes_is_no_work_while_its_next_answer_is_held_back(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_back, enough = threading.Event(), threading.Event()

    def hold_back(_: float) -> None:
        held_back.set()
        enough.wait(20)

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=hold_back)
    monkeypatch.setattr("dicom_node.receive.upper_layer.association.time", clock)
    listener, port = listening()
    echo = p_data(pdv(echo_command(), is_command=True))

    with RawPeer(port).associate() as peer:
        while not held_back.is_set():
            peer.write(echo)
        (served,) = listener._acceptor._associations
        is_work = not served.activity.is_stalled(time.monotonic() + STALLED_SECONDS)
        enough.set()

    assert not is_work


def association(
    address: str, *, silent_for: float, has_kept: bool = False, title: str = "A"
) -> ServedAssociation:
    made = ServedAssociation(socket.socket(), address, title)
    made.line.close()
    made.activity.has_kept = has_kept
    made.activity.waits_for_peer(True)
    made.activity._since = 1000.0 - silent_for
    return made


def to_be_ended(
    *associations: ServedAssociation, address: str | None = None, for_known: bool = False
) -> ServedAssociation | None:
    return association_to_end(associations, address=address, for_known=for_known, now=1000.0)


def test_oldest_of_the_peer_with_most_of_them_leaves() -> None:
    few = association("10.0.0.1", silent_for=9)
    many = [association("10.0.0.2", silent_for=5), association("10.0.0.2", silent_for=8)]

    assert to_be_ended(few, *many) is many[0]


def test_another_title_of_the_address_is_another_peer() -> None:
    good = association("10.0.0.1", silent_for=9, title="GOOD")
    bad = [association("10.0.0.1", silent_for=1, title="BAD") for _ in range(2)]

    assert to_be_ended(good, *bad, address="10.0.0.1") is bad[0]


def test_one_of_another_address_does_not_help_an_address_at_its_limit() -> None:
    assert to_be_ended(association("10.0.0.1", silent_for=9), address="10.0.0.2") is None


def test_stranger_ends_nothing_that_has_brought_an_object() -> None:
    sender = association("10.0.0.1", silent_for=9, has_kept=True)

    assert to_be_ended(sender) is None
    assert to_be_ended(sender, for_known=True) is sender


def test_what_has_brought_nothing_leaves_first() -> None:
    sender = association("10.0.0.1", silent_for=9, has_kept=True)
    stranger = association("10.0.0.2", silent_for=STALLED_SECONDS)

    assert to_be_ended(sender, stranger, for_known=True) is stranger


def test_pause_between_two_objects_is_no_standstill() -> None:
    sender = association("10.0.0.1", silent_for=PAUSE_SECONDS / 2, has_kept=True)

    assert to_be_ended(sender, for_known=True) is None


def test_association_that_the_node_keeps_waiting_stays() -> None:
    waiting = association("10.0.0.1", silent_for=9)
    waiting.activity.waits_for_peer(False)

    assert to_be_ended(waiting) is None


def test_one_is_ended_at_a_time() -> None:
    first, second = association("10.0.0.1", silent_for=9), association("10.0.0.1", silent_for=8)
    first.is_told_to_end = True

    assert to_be_ended(first, second) is None


def test_few_bytes_are_no_progress() -> None:
    activity = Activity()
    began = activity._since

    activity.received(100)
    assert activity._since == began
    activity.received(20_000)
    assert activity._since > began
