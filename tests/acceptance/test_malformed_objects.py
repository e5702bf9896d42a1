"""Objects damaged at random, sent to a running node: it stays up, and as small as it was."""

import random
import re
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile_objects import deflated, image
from plain_sender import plain_sender
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for
from sqlalchemy import func, select
from unit.dicom_node.node_factory import FOR_PRESENTATION

from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Instance

pytestmark = pytest.mark.timeout(1800)

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
)
NODE_BYTES = 500_000_000


def flipped(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)


def cut_off(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def length_changed(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(0, len(content) - 4, 2)
    content[at : at + 4] = struct.pack("<L", chance.choice([0, 1, 2**16, 2**31 - 1, 2**32 - 1]))


def part_repeated(content: bytearray, chance: random.Random) -> None:
    begin = chance.randrange(len(content))
    part = content[begin : begin + chance.randint(1, 200)]
    content[begin:begin] = part * chance.randint(1, 5000)


def part_left_out(content: bytearray, chance: random.Random) -> None:
    begin = chance.randrange(len(content))
    del content[begin : begin + chance.randint(1, 64)]


def noise(content: bytearray, chance: random.Random) -> None:
    content[:] = chance.randbytes(chance.randint(0, 5000))


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped, cut_off, length_changed, part_repeated, part_left_out, noise
)  # fmt: skip


def malformed(seed: int) -> tuple[bytes, bytes, str]:
    """Return a data set with damage to its header, its SOP Instance UID and a transfer syntax."""
    chance = random.Random(seed)
    content, uid = image(20_000 + seed, pixels=b"", Rows=4, Columns=4)
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        if len(damaged) > 8:
            chance.choice(DAMAGES)(damaged, chance)
    damaged += struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 32) + bytes(32)
    syntax = chance.choice(SYNTAXES)
    if syntax == DeflatedExplicitVRLittleEndian and chance.random() < 0.8:
        damaged = bytearray(deflated(bytes(damaged)))
    return bytes(damaged), uid, syntax


@pytest.fixture
def site(tmp_path: Path, bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path, bundle)
    with running(site, "archive", "broker", "node", "worker"):
        yield site


def registered(site: Site) -> int:
    database = Database(load_settings(site.config).ledger_url)
    try:
        with database.reading() as session:
            return session.scalar(select(func.count(Instance.id))) or 0
    finally:
        database.close()


def footprint(site: Site) -> dict[str, int]:
    """Return resident bytes, descriptors and threads of the node's main process."""
    assert site.node.process is not None
    process = Path(f"/proc/{site.node.process.pid}")
    size = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
    assert size is not None
    return {
        "bytes": int(size[1]) * 1024,
        "descriptors": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
    }


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.long)])
def test_malformed_objects_are_all_registered_and_cost_nothing_that_stays(
    site: Site, count: int
) -> None:
    views = datasets_of(FILM)
    study = str(views[0].StudyInstanceUID)

    def sent(seed: int) -> int | str:
        content, uid, syntax = malformed(seed)
        with plain_sender(site.node_port, FOR_PRESENTATION, syntax) as sender:
            return sender.store(content, uid)

    sent(0)
    before = footprint(site)
    with ThreadPoolExecutor(max_workers=4) as pool:
        first = list(pool.map(sent, range(1, count // 2)))
        assert all_stored(send(views, site.node_port))
        second = list(pool.map(sent, range(count // 2, count)))
    incoming = site.folder / "spool/incoming"
    wait_for(lambda: not list(incoming.iterdir()), seconds=600, what="everything is registered")
    site.wait_for_condition(study, "delivered")
    wait_for(
        lambda: footprint(site)["threads"] <= before["threads"] + 2,
        seconds=60,
        what="the threads of the associations have ended",
    )
    after = footprint(site)

    assert set(first + second) == {0x0000}
    # Equal ones among them, such as empty data sets, are kept once.
    assert registered(site) >= count * 0.9
    assert "registering_failed" not in site.node.output()
    assert "step_failed" not in site.node.output()
    assert after["bytes"] < NODE_BYTES
    assert after["descriptors"] <= before["descriptors"] + 8
