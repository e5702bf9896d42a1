"""A node's receiving processes on a network that sends it whatever there is."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_peer import (
    CONTEXTS,
    RELEASE,
    RawPeer,
    association_request,
    echo_command,
    p_data,
    pdu,
    pdv,
    store_command,
    store_request,
)
from services import free_port, wait_for

from dicom_node.receive.acceptor_pool import AcceptorPool
from dicom_node.settings.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

MEMORY_BYTES = 16_000_000
"""What one receiving process may grow by under attack, whatever is sent."""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def pool(tmp_path: Path, port: int) -> Iterator[AcceptorPool]:
    settings = ReceiveSettings(port=port, processes=1, maximum_object_bytes=1_000_000)
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
def test_four_thousand_associations_in_a_row_leave_nothing_behind(
    pool: AcceptorPool, port: int, ending: bytes
) -> None:
    associations_in_a_row(pool, port, 4000, ending)
