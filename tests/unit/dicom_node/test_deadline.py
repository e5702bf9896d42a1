"""Exchanges with a peer end in time, whoever waits."""

import socket
from collections.abc import Iterator

import pytest

from dicom_node.deadline import Deadline


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
        server.accept()[0] as theirs,
    ):
        yield ours, theirs


def test_read_that_waits_ends_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    with Deadline() as deadline:
        deadline.guard(ours)
        with deadline.within(0.05):
            assert ours.recv(1) == b""

        assert deadline.passed


def test_exchange_that_ends_in_time_leaves_the_connection_open(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with Deadline() as deadline:
        deadline.guard(ours)
        for _ in range(3):
            with deadline.within(60):
                theirs.sendall(b"x")
                assert ours.recv(1) == b"x"

        theirs.sendall(b"y")
        assert ours.recv(1) == b"y"
        assert not deadline.passed


def test_time_that_is_left_is_known_while_an_exchange_lasts() -> None:
    with Deadline() as deadline:
        assert deadline.seconds_left == float("inf")
        with deadline.within(60):
            assert 0 < deadline.seconds_left <= 60
        assert deadline.seconds_left == float("inf")
        with deadline.within(0):
            assert deadline.seconds_left == 0


def test_connections_end_with_their_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with Deadline() as deadline:
        deadline.guard(ours)

    assert theirs.recv(1) == b""


def test_connection_that_is_opened_after_the_deadline_is_shut_down(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with Deadline() as deadline:
        deadline.guard(ours)
        with deadline.within(0.05):
            ours.recv(1)
        deadline.guard(theirs)

        assert theirs.recv(1) == b""


def test_connection_that_a_library_leaves_open_is_closed_with_the_deadline() -> None:
    ours, theirs = socket.socketpair()

    with theirs, Deadline() as deadline:
        deadline.guard(ours, close=ours.close)
        assert ours.fileno() > 0

    assert ours.fileno() == -1
