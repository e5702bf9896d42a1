"""A node's receiving processes on a network that sends it whatever there is."""

import os
import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from ports import free_port
from raw_peer import (
    CONTEXTS,
    RELEASE,
    RELEASE_RP,
    RawPeer,
    association_request,
    echo_command,
    p_data,
    pdu,
    pdv,
    store_command,
    store_request,
)
from services import wait_for

from dicom_node.receive.acceptor_pool import AcceptorPool
from dicom_node.receive.upper_layer.lobby import MAXIMUM_WAITING
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

MEMORY_BYTES = 16_000_000
"""What one receiving process may grow by under attack, whatever is sent."""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def pool(tmp_path: Path, port: int) -> Iterator[AcceptorPool]:
    settings = ReceiveSettings(
        port=port, processes=1, maximum_object_bytes=1_000_000, recycle_associations=1_000_000
    )
    made = AcceptorPool(settings, Spool(tmp_path))
    made.start()
    with RawPeer(port).associate():
        yield made
    made.stop()


def conversation(chance: random.Random) -> bytes:
    """Return what a hostile peer says after its connection: broken somewhere, or anywhere."""
    whole = association_request(contexts=CONTEXTS) + chance.choice(
        [
            store_request(chance.randbytes(chance.randrange(60_000)), b"1.2.3", size=9000),
            p_data(pdv(echo_command(), context=3, is_command=True)) * chance.randrange(1, 40),
            p_data(pdv(store_command(), is_command=True)) + p_data(pdv(b"", is_last=False)) * 50,
            pdu(4, chance.randbytes(300), claims=chance.randrange(2**32)),
            pdu(chance.randrange(256), chance.randbytes(30)),
            RELEASE,
        ]
    )
    fault = chance.randrange(5)
    if fault == 0:
        return whole[: chance.randrange(len(whole))]
    if fault == 1:
        return chance.randbytes(chance.randrange(1, 3000))
    broken = bytearray(whole)
    for _ in range(fault):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    return bytes(broken)


def state_of(process: int) -> tuple[int, int, int]:
    """Return resident bytes, descriptors and threads of a process."""
    proc = Path(f"/proc/{process}")
    resident = int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir()))


def attack(pool: AcceptorPool, port: int, count: int) -> None:
    """Hold generated conversations against a node, a good object among each twenty-five."""
    chance = random.Random(20261129)
    (process,) = pool.process_ids()
    quiet = state_of(process)
    slowest = 0.0
    peers: list[RawPeer] = []
    for number in range(count):
        peers.append(RawPeer(port))
        try:
            peers[-1].write(conversation(chance))
        except OSError:
            peers[-1].line.close()  # the node has hung up in the middle of it
        if len(peers) > 20:
            peers.pop(0).line.close()
        if number % 25 == 0:
            begun = time.monotonic()
            with RawPeer(port).associate() as good:
                good.write(store_request(b"good", f"1.2.{number}".encode()))
                assert good.status() == 0x0000
            slowest = max(slowest, time.monotonic() - begun)
    for peer in peers:
        peer.line.close()
    wait_for(lambda: state_of(process)[2] <= quiet[2], seconds=30, what="its threads have ended")
    wait_for(lambda: state_of(process)[1] <= quiet[1], seconds=30, what="its lines are closed")
    grown = state_of(process)[0] - quiet[0]
    print(f"{count} conversations: grew by {grown} bytes, slowest good object {slowest:.3f} s")  # noqa: T201

    assert pool.process_ids() == [process], "the process has lived through it"
    assert grown < MEMORY_BYTES


def test_sixty_generated_conversations_cost_nobody_anything(pool: AcceptorPool, port: int) -> None:
    attack(pool, port, 60)


@pytest.mark.long
def test_five_hundred_generated_conversations_cost_nobody_anything(
    pool: AcceptorPool, port: int
) -> None:
    attack(pool, port, 500)


def associations_in_a_row(pool: AcceptorPool, port: int, count: int, ending: bytes) -> None:
    (process,) = pool.process_ids()
    state: list[tuple[int, int, int]] = []
    for number in range(count):
        with RawPeer(port).associate() as peer:
            peer.write(ending)
        if number == count // 4:
            state.append(state_of(process))
    wait_for(lambda: state_of(process)[2] <= state[0][2], seconds=30, what="its threads have ended")

    assert pool.process_ids() == [process]
    assert state_of(process)[0] - state[0][0] < 4_000_000
    assert state_of(process)[1] <= state[0][1] + 2


@pytest.mark.parametrize("ending", [RELEASE, pdu(7, bytes(4))], ids=["released", "aborted"])
def test_two_hundred_associations_in_a_row_leave_nothing_behind(
    pool: AcceptorPool, port: int, ending: bytes
) -> None:
    associations_in_a_row(pool, port, 200, ending)


@pytest.mark.long
@pytest.mark.parametrize("ending", [RELEASE, pdu(7, bytes(4))], ids=["released", "aborted"])
def test_ten_thousand_associations_in_a_row_leave_nothing_behind(
    pool: AcceptorPool, port: int, ending: bytes
) -> None:
    associations_in_a_row(pool, port, 10_000, ending)


@pytest.mark.long
def test_ten_thousand_associations_pass_while_processes_are_replaced(
    tmp_path: Path, port: int
) -> None:
    settings = ReceiveSettings(port=port, processes=2)
    pool = AcceptorPool(settings, Spool(tmp_path))
    pool.start()
    try:
        wait_for(lambda: is_open(port), seconds=30, what="the node listens")
        first = set(pool.process_ids())
        for number in range(2 * settings.recycle_associations + 100):
            with RawPeer(port).associate() as peer:
                if number % 100 == 0:
                    peer.write(store_request(b"good", f"1.2.{number}".encode()))
                    assert peer.status() == 0x0000
                peer.write(RELEASE)
                assert peer.read()[0] == RELEASE_RP
        assert first - set(pool.process_ids()), "a process has served its 5,000 and was replaced"
    finally:
        pool.stop()


def is_open(port: int) -> bool:
    try:
        with RawPeer(port).associate():
            return True
    except OSError:
        return False


def connections_at_once(pool: AcceptorPool, port: int, count: int) -> None:
    """Hold connections with half a request, a good object among each hundred."""
    (process,) = pool.process_ids()
    quiet = state_of(process)
    half = association_request(contexts=CONTEXTS)[:100]
    slowest = 0.0
    with ExitStack() as stack:
        for number in range(count):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            with suppress(ConnectionError):  # crowded out already
                line.sendall(half)
            if number % 100 == 0:
                begun = time.monotonic()
                with RawPeer(port).associate() as good:
                    good.write(store_request(b"good", f"1.2.{number}".encode()))
                    assert good.status() == 0x0000
                slowest = max(slowest, time.monotonic() - begun)
        held = state_of(process)
    grown = held[0] - quiet[0]
    print(f"{count} at once: grew by {grown} bytes, {held[1]} descriptors, slowest {slowest:.3f} s")  # noqa: T201

    assert pool.process_ids() == [process]
    assert grown < MEMORY_BYTES
    assert held[1] - quiet[1] <= MAXIMUM_WAITING + 2
    wait_for(lambda: state_of(process)[1] <= quiet[1], seconds=30, what="its lines are closed")


def test_five_hundred_connections_at_once_shut_nobody_out(pool: AcceptorPool, port: int) -> None:
    connections_at_once(pool, port, MAXIMUM_WAITING + 100)


@pytest.mark.long
def test_ten_thousand_connections_at_once_shut_nobody_out(pool: AcceptorPool, port: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        connections_at_once(pool, port, min(10_000, hard - 500))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
