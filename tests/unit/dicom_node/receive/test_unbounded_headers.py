"""Objects whose headers would take the machine's memory or time, and what waits behind them."""

import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from node_factory import HEADERS, Reception, encoded, mammogram, put
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.receive.registration.header_child import MAXIMUM_MEMORY_BYTES
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt
from dicom_node.studies.ledger.states import InstanceState
from mammoclip_core.images.decoding.bounded_stream import MAXIMUM_HEADER_BYTES

UNDEFINED = 0xFFFFFFFF
START_OF_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
EMPTY_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)


def explicit(tag: int, vr: bytes, length: int) -> bytes:
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, length)


def implicit(tag: int, length: int) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length)


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


STEPS = "the header takes more than 400000 steps to read"
ITEMS = EMPTY_ITEM * (100_000_000 // len(EMPTY_ITEM))
VIEWS = explicit(0x00540220, b"SQ", UNDEFINED)

HEADERS_WITHOUT_END: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "100 MB of empty items": (lambda: VIEWS + ITEMS, ExplicitVRLittleEndian, STEPS),
    "100 MB of empty items of a sequence with a length": (
        lambda: explicit(0x00540220, b"SQ", len(ITEMS)) + ITEMS,
        ExplicitVRLittleEndian,
        "without a UID",
    ),
    "100 MB of items, implicit": (
        lambda: implicit(0x00540220, UNDEFINED) + ITEMS,
        ImplicitVRLittleEndian,
        STEPS,
    ),
    "100 MB of zeros": (lambda: bytes(100_000_000), ExplicitVRLittleEndian, STEPS),
    "100 MB of zeros, big endian": (lambda: bytes(100_000_000), ExplicitVRBigEndian, STEPS),
    "10,000 x 10,000 zeros, deflated": (
        lambda: deflated(bytes(100_000_000)),
        DeflatedExplicitVRLittleEndian,
        STEPS,
    ),
    "100 MB of items, deflated": (
        lambda: deflated(VIEWS + ITEMS),
        DeflatedExplicitVRLittleEndian,
        STEPS,
    ),
    "10,000 sequences in each other": (
        lambda: (VIEWS + START_OF_ITEM) * 10_000,
        ExplicitVRLittleEndian,
        "RecursionError",
    ),
    "10,000 sequences in each other, deflated": (
        lambda: deflated((VIEWS + START_OF_ITEM) * 10_000),
        DeflatedExplicitVRLittleEndian,
        "RecursionError",
    ),
    "a patient's name of 1 GB": (
        lambda: explicit(0x00100010, b"UN", 2**30) + b"A" * 100,
        ExplicitVRLittleEndian,
        "without a UID",
    ),
}


SHORT = {
    "100 MB of empty items",
    "10,000 x 10,000 zeros, deflated",
    "10,000 sequences in each other",
    "a patient's name of 1 GB",
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if case in SHORT else pytest.mark.long)
        for case in HEADERS_WITHOUT_END
    ],
)
def test_header_without_end_is_unreadable(reception: Reception, case: str) -> None:
    content, syntax, detail = HEADERS_WITHOUT_END[case]
    receipt = put(reception.spool, content(), transfer_syntax=syntax, sop_instance_uid="1.2.3")
    behind = put(reception.spool, mammogram())

    reception.registrar.register_all()

    rows = {row.receipt: row for row in reception.instances()}
    assert rows[str(receipt)].state is InstanceState.SET_ASIDE
    assert rows[str(receipt)].reason == "unreadable-object"
    assert detail in rows[str(receipt)].detail
    assert reception.spool.file(rows[str(receipt)].place).is_file()
    assert rows[str(behind)].state is InstanceState.REGISTERED


SLOW = VIEWS + EMPTY_ITEM * 60_000 + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def put_slow(spool: Spool, number: int) -> Receipt:
    """Put an image into the spool whose header takes long to read, and is within bounds."""
    uid = f"1.2.826.0.1.3680043.8.498.55.{number}"
    dataset = mammogram(SOPInstanceUID=uid, without=["PixelData"])
    content = encoded(dataset) + SLOW + explicit(0x7FE00010, b"OW", 2) + b"xx"
    return put(spool, content, sop_instance_uid=uid)


def test_headers_that_take_long_are_read_behind_all_others(reception: Reception) -> None:
    slow = [put_slow(reception.spool, number) for number in range(2)]
    quick = [put(reception.spool, mammogram()) for _ in range(2)]

    reception.registrar.register_all()

    rows = reception.instances()
    assert [row.receipt for row in rows] == [str(receipt) for receipt in quick + slow]
    assert {row.state for row in rows} == {InstanceState.REGISTERED}
    assert reception.spool.incoming() == []


def test_what_arrives_while_a_slow_header_is_read_comes_before_the_next(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put_slow(reception.spool, number)
    read, arrived = HEADERS.begin, []

    def begin(file: Path, *, may_take_long: bool, **how: Any) -> Any:
        if may_take_long and not arrived:
            arrived.append(put(reception.spool, mammogram()))
        return read(file, may_take_long=may_take_long, **how)

    monkeypatch.setattr(HEADERS, "begin", begin)

    reception.registrar.register_all()
    after_one = [row.receipt for row in reception.instances()]
    reception.registrar.register_all()

    assert len(after_one) == 1
    assert reception.instances()[1].receipt == str(arrived[0])
    assert len(reception.instances()) == 4


@pytest.mark.parametrize("megabytes", [3, 30, 100])
def test_sequence_without_end_that_the_node_asks_for_is_unreadable(
    reception: Reception, megabytes: int
) -> None:
    dataset = mammogram(without=["ViewPosition", "PixelData"])
    items = EMPTY_ITEM * (megabytes * 1_000_000 // len(EMPTY_ITEM))
    views = explicit(0x00540220, b"SQ", len(items)) + items
    pixels = explicit(0x7FE00010, b"OW", 2) + b"xx"

    row = reception.receive(
        encoded(dataset) + views + pixels, sop_instance_uid=str(dataset.SOPInstanceUID)
    )

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "unreadable-object")
    assert row.detail == "the header is too long"


def test_large_private_value_before_the_pixels_is_no_header_without_end(
    reception: Reception,
) -> None:
    dataset = mammogram()
    dataset.private_block(0x0019, "INVENTED", create=True).add_new(
        0x01, "OB", bytes(MAXIMUM_HEADER_BYTES + 2)
    )

    assert reception.receive(dataset).state is InstanceState.REGISTERED


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_long_sequence_that_the_node_asks_for_is_read(reception: Reception, syntax: str) -> None:
    code = mammogram(without=list(mammogram().dir()))
    code.CodeValue, code.CodingSchemeDesignator = "399162004", "SCT"
    code.CodeMeaning = "cranio-caudal"
    code.ContextGroupExtensionCreatorUID = ".".join(["1"] * 30)
    dataset = mammogram(ViewCodeSequence=[code] * 100, without=["ViewPosition"])
    content = encoded(dataset)

    row = reception.receive(
        deflated(content) if syntax == DeflatedExplicitVRLittleEndian else content,
        transfer_syntax=syntax,
        sop_instance_uid=str(dataset.SOPInstanceUID),
    )

    assert (row.state, row.view_position) == (InstanceState.REGISTERED, "CC")


def test_process_that_reads_headers_has_little_memory() -> None:
    code = (
        "import resource; from dicom_node.receive.registration import header_child as c;"
        "c._restrict();"
        "print(resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CORE))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split("\n")[0] == f"{(MAXIMUM_MEMORY_BYTES,) * 2} {(0, 0)}"


@dataclass
class Fatal:
    """Receipts of objects at which the reader's process dies, as of a crash in a library."""

    receipts: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def fatal(monkeypatch: pytest.MonkeyPatch) -> Fatal:
    fatal, original = Fatal(), HeaderReader._send

    def send(self: HeaderReader, request: dict[str, Any]) -> None:
        fatal.asked.append(Path(request["file"]).stem)
        if fatal.asked[-1] in fatal.receipts:
            child = self._child or self._start()
            child.send_signal(signal.SIGSEGV)
            child.wait()
        original(self, request)

    monkeypatch.setattr(HeaderReader, "_send", send)
    return fatal


def test_object_that_ends_its_reader_twice_is_set_aside(
    reception: Reception, fatal: Fatal, log_lines: list[Any]
) -> None:
    receipts = [put(reception.spool, mammogram()) for _ in range(3)]
    fatal.receipts.add(str(receipts[1]))

    reception.registrar.register_all()

    states = [(row.state, row.reason) for row in reception.instances()]
    assert states == [
        (InstanceState.REGISTERED, ""),
        (InstanceState.SET_ASIDE, "unreadable-object"),
        (InstanceState.REGISTERED, ""),
    ]
    assert fatal.asked.count(str(receipts[1])) == 2
    told = [line for line in log_lines if line["event"] == "header_reader_ended"]
    assert [line["receipt"] for line in told] == [str(receipts[1])]


def test_reader_that_was_killed_between_two_objects_costs_nothing(reception: Reception) -> None:
    reception.receive(mammogram())
    assert HEADERS._child is not None
    os.kill(HEADERS._child.pid, signal.SIGKILL)
    HEADERS._child.wait()

    row = reception.receive(mammogram())

    assert row.state is InstanceState.REGISTERED


def test_object_that_takes_too_long_to_read_is_set_aside(spool: Spool) -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    megabyte = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    receipt = put(spool, megabyte * 100_000, transfer_syntax=DeflatedExplicitVRLittleEndian)
    headers = HeaderReader(seconds=0.5)

    reading = headers.read(
        spool.incoming_file(receipt),
        identity_key=b"",
        secondary_capture_senders=frozenset(),
        maximum_bytes=2**40,
    )

    headers.close()
    assert reading.problem is not None
    assert reading.problem.reason_word == "unreadable-object"
    assert f"signal {signal.SIGALRM.value}" in str(reading.problem)


def test_header_is_read_by_a_process_with_more_than_a_thousand_files_open(spool: Spool) -> None:
    receipt = put(spool, mammogram())
    headers = HeaderReader()
    how = {"identity_key": b"", "secondary_capture_senders": frozenset(), "maximum_bytes": 2**30}

    with ExitStack() as opened:
        for _ in range(1100):
            opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        reading = headers.read(spool.incoming_file(receipt), **how)

    headers.close()
    assert reading.facts is not None


def test_header_that_nobody_waited_for_is_not_taken_for_the_next_ones(spool: Spool) -> None:
    headers = HeaderReader()
    how = {"identity_key": b"", "secondary_capture_senders": frozenset(), "maximum_bytes": 2**30}
    first, second = (put(spool, mammogram(view)) for view in ("CC", "MLO"))

    headers.begin(spool.incoming_file(first), **how)
    reading = headers.read(spool.incoming_file(second), **how)

    headers.close()
    assert reading.facts is not None
    assert reading.facts.view_position == "MLO"
