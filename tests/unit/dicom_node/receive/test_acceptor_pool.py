"""Receiving processes: one port, a memory limit each, and an end that costs no other."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from listener_factory import store
from node_factory import encoded, mammogram
from ports import free_port
from raw_peer import (
    ABORT,
    P_DATA,
    RawPeer,
    echo_command,
    p_data,
    pdv,
    store_command,
    store_request,
)
from services import wait_for

from dicom_node.receive.acceptor_pool import AcceptorPool
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

Start = Callable[..., tuple[AcceptorPool, int]]


@pytest.fixture
def start(spool: Spool) -> Iterator[Start]:
    with ExitStack() as stack:

        def pool(**options: Any) -> tuple[AcceptorPool, int]:
            settings = ReceiveSettings(port=free_port(), **{"processes": 1, **options})
            made = AcceptorPool(settings, spool)
            made.start()
            stack.callback(made.stop)
            assert store(settings.port, encoded(mammogram())) == 0x0000
            return made, settings.port

        yield pool


def resident(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_process_that_is_killed_is_replaced_and_its_associations_are_closed(
    start: Start, spool: Spool
) -> None:
    pool, port = start()
    (killed,) = pool.process_ids()

    with RawPeer(port).associate() as peer:
        peer.write(p_data(pdv(store_command(), is_command=True), pdv(b"half", is_last=False)))
        wait_for(lambda: list((spool.root / "partial").iterdir()), seconds=10, what="it comes")
        assert len(pool.open_tokens()) == 1
        os.kill(killed, signal.SIGKILL)

        wait_for(lambda: not pool.open_tokens(), seconds=10, what="the association is closed")
    assert store(port, encoded(mammogram())) == 0x0000
    assert pool.process_ids() != [killed]
    assert not list((spool.root / "partial").iterdir())


def test_process_that_cannot_be_started_at_once_is_started_later(
    start: Start, log_lines: list[Any]
) -> None:
    pool, port = start()
    (killed,) = pool.process_ids()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)

    # No pipe can be opened; other threads of this process still wait for their few descriptors.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, allowed[1]))
    try:
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: not pool.process_ids(), seconds=10, what="its end is seen")
        wait_for(
            lambda: log_lines[-1:] and log_lines[-1]["event"] == "acceptor_not_started",
            seconds=10,
            what="no other can be started",
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)

    assert store(port, encoded(mammogram())) == 0x0000


def test_process_is_replaced_after_its_associations_while_one_is_still_open(
    start: Start,
) -> None:
    pool, port = start(recycle_associations=2)
    (first,) = pool.process_ids()

    with RawPeer(port).associate() as peer:
        wait_for(lambda: pool.process_ids() not in ([], [first]), seconds=20, what="a new process")
        peer.write(store_request(b"data"))

        assert peer.status() == 0x0000
    assert store(port, encoded(mammogram())) == 0x0000


def test_echoes_do_not_keep_a_process_that_is_replaced(start: Start) -> None:
    pool, port = start(recycle_associations=2, idle_timeout_seconds=1)
    (first,) = pool.process_ids()
    echo = p_data(pdv(echo_command(), context=3, is_command=True))

    with RawPeer(port).associate() as peer:
        wait_for(lambda: pool.process_ids() not in ([], [first]), seconds=20, what="a new process")
        kinds = [P_DATA]
        while kinds[-1] == P_DATA:
            peer.write(echo)
            kinds.append(peer.read()[0])

    assert kinds[-1] == ABORT
    wait_for(lambda: not Path(f"/proc/{first}").exists(), seconds=20, what="the first one's end")


def test_association_of_another_process_makes_room(start: Start) -> None:
    limit = {"maximum_associations_per_address": 2}
    (_, one), (_, other) = start(**limit), start(**limit)

    with RawPeer(one).associate(), RawPeer(one).associate():
        assert store(other, encoded(mammogram())) == 0x0000


def test_object_is_taken_without_being_held_in_memory(start: Start) -> None:
    pool, port = start()
    (process,) = pool.process_ids()
    before = resident(process)

    with RawPeer(port).associate() as peer:
        peer.write(p_data(pdv(store_command(), is_command=True)))
        for _ in range(600):
            peer.write(p_data(pdv(bytes(100_000), is_last=False)))
        held = resident(process) - before
        peer.write(p_data(pdv(b"end")))
        assert peer.status() == 0x0000

    assert held < 4_000_000


def test_requests_whose_answers_are_not_read_are_not_held_in_memory(start: Start) -> None:
    pool, port = start()
    (process,) = pool.process_ids()
    before = resident(process)

    with RawPeer(port).associate() as peer:
        for number in range(300):
            peer.write(store_request(bytes(100_000), f"1.2.{number}".encode()))
        held = resident(process) - before
        assert [peer.status() for _ in range(300)] == [0x0000] * 300

    assert held < 4_000_000


def test_receiving_process_has_a_memory_limit(start: Start) -> None:
    pool, _ = start(process_memory_bytes=300_000_000)

    limits = Path(f"/proc/{pool.process_ids()[0]}/limits").read_text()

    (line,) = [one for one in limits.splitlines() if one.startswith("Max data size")]
    assert line.split()[3:5] == ["300000000", "300000000"]


def test_processes_end_when_the_node_is_killed(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import sys, time; from pathlib import Path\n"
        "from dicom_node.receive.acceptor_pool import AcceptorPool\n"
        "from dicom_node.settings.ways_in.receive import ReceiveSettings\n"
        "from dicom_node.spool.local_disk import Spool\n"
        "settings = ReceiveSettings(port=int(sys.argv[1]))\n"
        "AcceptorPool(settings, Spool(Path(sys.argv[2]))).start(); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(port), str(tmp_path)]

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with subprocess.Popen(command) as node:
        wait_for(listens, seconds=30, what="the node listens")
        with RawPeer(port).associate():
            node.kill()

    wait_for(lambda: not listens(), seconds=20, what="nobody listens any more")
