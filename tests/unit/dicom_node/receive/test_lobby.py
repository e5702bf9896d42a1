"""Connections that never become an association shut nobody out."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from listener_factory import Listening, store
from node_factory import encoded, mammogram
from raw_peer import (
    ABORT,
    P_DATA,
    RawPeer,
    association_request,
    echo_command,
    p_data,
    pdv,
    store_command,
    store_request,
)
from services import wait_for

from dicom_node.receive.upper_layer.lobby import Lobby
from dicom_node.receive.upper_layer.negotiation import Request
from dicom_node.receive.upper_layer.pdus import AbortReason, abort

HALF = association_request()[:60]


@contextmanager
def connections(port: int, count: int, said: bytes) -> Iterator[list[RawPeer]]:
    """Hold connections that have each said something, and say no more."""
    with ExitStack() as stack:
        peers = [stack.enter_context(RawPeer(port)) for _ in range(count)]
        for peer in peers:
            peer.write(said)
        yield peers


@pytest.mark.parametrize("said", [b"", b"\x01", HALF], ids=["nothing", "a byte", "half a request"])
def test_two_hundred_connections_without_a_request_shut_nobody_out(
    listening: Listening, said: bytes
) -> None:
    _, port = listening()

    with connections(port, 200, said):
        assert store(port, encoded(mammogram())) == 0x0000


def test_more_connections_than_may_wait_crowd_out_the_oldest(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening()

    with connections(port, 450, b"\x01") as peers:
        assert store(port, encoded(mammogram())) == 0x0000
        assert peers[0].read() == (0, b"")

    assert "crowded-out" in {line["reason"] for line in log_lines if "reason" in line}


@pytest.mark.parametrize("error", [ValueError("a bug"), MemoryError()], ids=["a bug", "memory"])
def test_request_at_which_the_node_fails_costs_its_own_connection(
    error: Exception, log_lines: list[Any]
) -> None:
    asked: list[str] = []

    def fail_once(
        _line: socket.socket, _address: str, request: Request, _is_last_time: bool
    ) -> bytes | None:
        asked.append(request.calling_ae_title)
        if len(asked) == 1:
            raise error
        return abort(AbortReason.NOT_SPECIFIED)

    listening = socket.create_server(("127.0.0.1", 0))
    lobby = Lobby(listening, fail_once, request_seconds=10)
    thread = threading.Thread(target=lobby.serve)
    thread.start()
    port = listening.getsockname()[1]

    with RawPeer(port) as first, RawPeer(port) as second:
        first.write(association_request(calling=b"FIRST"))
        assert first.read() == (0, b"")
        second.write(association_request(calling=b"SECOND"))
        assert second.read()[0] == ABORT
    lobby.stop()
    thread.join()
    listening.close()

    assert asked == ["FIRST", "SECOND"]
    assert [line["event"] for line in log_lines] == ["connection_failed"]
    assert lobby.out_of_memory is isinstance(error, MemoryError)


def test_connection_seen_off_while_or_after_the_lobby_stops_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        lobby = Lobby(listening, lambda *_: None, request_seconds=10)
        lobby.stop()
        seen_off = [socket.socket(), socket.socket()]

        lobby.see_off(seen_off[0], "127.0.0.1")
        lobby.serve()
        lobby.see_off(seen_off[1], "127.0.0.1")

    assert [line.fileno() for line in seen_off] == [-1, -1]


def test_connections_that_end_at_once_shut_nobody_out(listening: Listening) -> None:
    _, port = listening()

    for said in [b"", b"\x01", b"GET / HTTP/1.1\r\n\r\n"] * 25:
        with connections(port, 1, said):
            pass

    assert store(port, encoded(mammogram())) == 0x0000


def test_probe_that_says_nothing_is_not_logged(listening: Listening, log_lines: list[Any]) -> None:
    _, port = listening()

    with RawPeer(port):
        pass

    assert log_lines == []


def test_incomplete_request_is_ended_after_its_time_in_one_line(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening(request_timeout_seconds=0.3)

    with RawPeer(port) as peer:
        peer.write(HALF)
        assert peer.read() == (0, b"")

    (line,) = log_lines
    assert (line["event"], line["reason"]) == ("connection_ended", "timeout")
    assert line["detail"] == "no association request, 60 bytes of one"


def test_request_that_comes_byte_by_byte_gets_no_more_time(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening(request_timeout_seconds=1)

    with RawPeer(port) as peer:
        peer.line.settimeout(0.05)
        for byte in association_request():
            with suppress(OSError):  # it is ended
                peer.write(bytes([byte]))
            with suppress(TimeoutError):
                if peer.line.recv(1) == b"":
                    break

    assert [line["reason"] for line in log_lines] == ["timeout"]
    assert store(port, encoded(mammogram())) == 0x0000


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x04\0\0\0\0\x10", b"\x16\x03\x01"])
def test_connection_that_begins_with_no_request_is_aborted(
    listening: Listening, log_lines: list[Any], said: bytes
) -> None:
    _, port = listening()

    with RawPeer(port) as peer:
        peer.write(said)
        assert peer.read()[0] == ABORT

    assert [line["reason"] for line in log_lines] == ["protocol-error"]


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"idle_timeout_seconds": 0.3}, "between PDUs"),
        ({"pdu_timeout_seconds": 0.3}, "in the middle of a PDU"),
        ({"progress_timeout_seconds": 0.3}, "between PDUs"),
    ],
)
def test_silent_association_is_aborted_and_no_longer_open(
    listening: Listening, log_lines: list[Any], options: dict[str, float], detail: str
) -> None:
    listener, port = listening(**options)
    said = {
        "idle_timeout_seconds": b"",
        "pdu_timeout_seconds": b"\x04\0\0\0\x10",
        "progress_timeout_seconds": p_data(pdv(store_command(), is_command=True)),
    }[next(iter(options))]

    with RawPeer(port).associate() as peer:
        peer.write(said)
        assert peer.read()[0] == ABORT

    wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")
    assert [(line["reason"], line["detail"]) for line in log_lines] == [("timeout", detail)]


def test_echoes_do_not_keep_an_association_open_that_has_carried_objects(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening(idle_timeout_seconds=0.5)
    echo = p_data(pdv(echo_command(), context=3, is_command=True))

    with RawPeer(port).associate() as peer:
        peer.write(store_request(b"data"))
        kinds = [peer.read()[0]]
        while kinds[-1] == P_DATA:
            peer.write(echo)
            kinds.append(peer.read()[0])

    assert kinds[-1] == ABORT
    assert log_lines[-1]["reason"] == "timeout"


@pytest.mark.parametrize("value", [b"", b"\0"], ids=["nothing", "a byte"])
def test_command_that_never_ends_is_aborted_however_small_its_fragments_are(
    listening: Listening, log_lines: list[Any], value: bytes
) -> None:
    _, port = listening(progress_timeout_seconds=0.5)
    fragment = p_data(pdv(value, is_command=True, is_last=False))

    with RawPeer(port).associate() as peer:
        ended = threading.Event()
        writer = threading.Thread(target=_repeat, args=(peer, fragment, ended))
        writer.start()
        assert peer.read()[0] == ABORT
        ended.set()
        writer.join()

    assert log_lines[-1]["reason"] == "timeout"


def _repeat(peer: RawPeer, said: bytes, ended: threading.Event) -> None:
    with suppress(OSError):
        while not ended.wait(0.05):
            peer.write(said)


def test_object_over_its_limit_that_never_ends_is_aborted(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening(maximum_object_bytes=100_000)
    endless = p_data(pdv(bytes(50_000), is_last=False)) * 8

    with RawPeer(port).associate() as peer:
        peer.write(p_data(pdv(store_command(), is_command=True)) + endless)
        assert peer.read()[0] == ABORT

    assert log_lines[-1]["detail"] == "an endless data set"
