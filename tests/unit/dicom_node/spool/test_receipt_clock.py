"""Receipts of a spool only go forward, whatever the host's clock and however many make them."""

import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest

from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt
from dicom_node.spool.receipt_clock import ReceiptClock

HOUR = 3600 * 10**9
NOON = int(datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()) * 10**9


def receipts_of(root: Path, host: int, count: int) -> list[Receipt]:
    """Make receipts, as one process does whose clock stands still."""
    clock = ReceiptClock(root, host=lambda: host)
    return [clock.new("a" * 16) for _ in range(count)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Spool(tmp_path / "spool").root


def test_receipt_has_the_time_of_the_host(root: Path) -> None:
    (receipt,) = receipts_of(root, NOON, 1)

    assert receipt.received_ns == NOON
    assert receipt.association == "a" * 16


def test_object_after_a_step_of_the_clock_backwards_is_the_later_one(root: Path) -> None:
    times = iter([NOON, NOON - HOUR, NOON - HOUR, NOON + HOUR])
    clock = ReceiptClock(root, host=lambda: next(times))

    made = [clock.new("a" * 16) for _ in range(4)]

    assert made == sorted(made)
    assert made[-1].received_ns == NOON + HOUR


def test_several_processes_make_receipts_in_one_order(root: Path) -> None:
    hosts = [NOON, NOON - HOUR, NOON + HOUR, NOON - 2 * HOUR]
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as processes:
        runs = [processes.submit(receipts_of, root, host, 200) for host in hosts]
        made = [run.result() for run in runs]

    assert all(one == sorted(one) for one in made)
    assert len({receipt.received_ns for one in made for receipt in one}) == 800
    (after,) = receipts_of(root, NOON - HOUR, 1)
    assert after > max(max(one) for one in made)


@pytest.mark.parametrize("content", [b"", b"\0" * 19, b"torn"])
def test_file_lost_in_a_power_cut_puts_nothing_before_what_waits(
    root: Path, content: bytes
) -> None:
    spool = Spool(root)
    (waiting,) = receipts_of(root, NOON, 1)
    spool.keep([b"image"], waiting)
    (root / "receipt.clock").write_bytes(content)

    (receipt,) = receipts_of(root, NOON - HOUR, 1)

    assert receipt > waiting


def test_object_taken_back_comes_after_what_waits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(root)
    spool.keep([b"correction"], lambda: spool.receipts.new("a" * 16))
    (root / "set-aside" / "one.dcm").write_bytes(b"image")
    an_hour_ago = time.time_ns() - HOUR
    monkeypatch.setattr(spool.receipts, "_host", lambda: an_hour_ago)

    receipt = spool.take_back("set-aside/one.dcm")

    assert receipt == spool.incoming()[-1]


def test_file_is_closed_to_other_accounts(root: Path) -> None:
    receipts_of(root, NOON, 1)

    assert (root / "receipt.clock").stat().st_mode & 0o777 == 0o600
