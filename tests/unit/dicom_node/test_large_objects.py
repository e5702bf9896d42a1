"""Objects of more than a gigabyte: taken as they come, whole on disk, and registered."""

import hashlib
import os
import shutil
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import pytest
from node_factory import TOMOSYNTHESIS, encoded, mammogram
from ports import free_port
from raw_peer import RawPeer, context_item, p_data, pdv, store_command
from services import wait_for
from sqlalchemy import select

from dicom_node.node_process import Node, running_node
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance

ROWS, COLUMNS = 3328, 2560
FRAME: Final = bytes(range(256)) * (ROWS * COLUMNS * 2 // 256)
ASSOCIATION_BYTES: Final = 4_000_000
"""What an association may cost, whatever the size of its objects."""

PART = 100_000


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Return the settings of a node of which only the port, the folder and the broker are set."""
    yield Settings(
        spool=tmp_path / "spool",
        receive={"port": free_port()},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )
    shutil.rmtree(tmp_path / "spool")  # it may have a dozen gigabytes


@pytest.fixture
def node(settings: Settings) -> Iterator[Node]:
    with running_node(settings) as node:
        yield node


def tomosynthesis(number: int, frames: int) -> tuple[str, Iterator[bytes]]:
    """Return SOP Instance UID and data set of a multi-frame image that is not compressed."""
    dataset = mammogram(
        SOPClassUID=TOMOSYNTHESIS, Rows=ROWS, Columns=COLUMNS, NumberOfFrames=frames
    )
    del dataset.PixelData
    dataset.StudyInstanceUID = f"1.2.{number}"
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, frames * len(FRAME))

    def parts() -> Iterator[bytes]:
        yield encoded(dataset) + pixels
        for _ in range(frames):
            yield from (FRAME[at : at + PART] for at in range(0, len(FRAME), PART))

    return str(dataset.SOPInstanceUID), parts()


def send_tomosynthesis(port: int, number: int, frames: int, kept: dict[str, str]) -> None:
    uid, parts = tomosynthesis(number, frames)
    digest = hashlib.sha256()
    contexts = context_item(1, TOMOSYNTHESIS)
    with RawPeer(port).associate(contexts=contexts) as peer:
        command = store_command(uid.encode(), TOMOSYNTHESIS.encode())
        peer.write(p_data(pdv(command, is_command=True)))
        for part in parts:
            digest.update(part)
            peer.write(p_data(pdv(part, is_last=False)))
        peer.write(p_data(pdv(b"")))
        peer.line.settimeout(120)  # the disk flushes all of it
        if peer.status() == 0x0000:
            kept[uid] = digest.hexdigest()


def resident(processes: list[int]) -> int:
    """Return the bytes that processes hold, less those of files, such as of libraries, they map."""
    pages = 0
    for one in processes:
        _, all_pages, of_files, *_ = map(int, Path(f"/proc/{one}/statm").read_text().split())
        pages += all_pages - of_files
    return pages * os.sysconf("SC_PAGE_SIZE")


def receive_at_once(node: Node, settings: Settings, associations: int, frames: int) -> None:
    processes = node._acceptors.process_ids()
    port = settings.receive.port
    wait_for(lambda: all(map(waits_for_connections, processes)), seconds=30, what="all listen")
    quiet = resident(processes)
    kept: dict[str, str] = {}
    senders = [
        threading.Thread(target=send_tomosynthesis, args=(port, number, frames, kept))
        for number in range(associations)
    ]
    for sender in senders:
        sender.start()
    highest = 0
    while any(sender.is_alive() for sender in senders):
        highest = max(highest, resident(processes) - quiet)
        senders[0].join(0.02)
    print(f"{associations} x {frames * len(FRAME)} bytes: {highest / associations:.0f} bytes each")  # noqa: T201

    assert node._acceptors.process_ids() == processes
    assert len(kept) == associations
    assert highest < associations * ASSOCIATION_BYTES
    with closing(Database(settings.ledger_url)) as database:

        def registered() -> dict[str, str]:
            with database.reading() as session:
                query = select(Instance).where(Instance.state == InstanceState.SET_ASIDE)
                rows = list(session.scalars(query))
            assert {row.reason for row in rows} <= {"tomosynthesis"}
            return {row.sop_instance_uid: row.content_sha256 for row in rows}

        wait_for(lambda: registered() == kept, seconds=120, what="all are registered")


def waits_for_connections(process: int) -> bool:
    """Whether a process has begun to serve: before, its memory grows by what it imports."""
    with suppress(FileNotFoundError):  # while it imports, files come and go
        opened = Path(f"/proc/{process}/fd").iterdir()
        return any(str(one.readlink()) == "anon_inode:[eventpoll]" for one in opened)
    return False


def test_tomosynthesis_costs_no_more_memory_than_another_object(
    node: Node, settings: Settings
) -> None:
    receive_at_once(node, settings, associations=2, frames=4)


@pytest.mark.long
def test_tomosynthesis_of_more_than_a_gigabyte_costs_no_more_memory(
    node: Node, settings: Settings
) -> None:
    receive_at_once(node, settings, associations=2, frames=94)


@pytest.mark.long
def test_twenty_large_objects_at_once_cost_no_more_memory(node: Node, settings: Settings) -> None:
    receive_at_once(node, settings, associations=20, frames=36)
