"""What somebody else puts into the spool's folders is set aside, and never followed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from node_factory import HEADERS, Reception, mammogram, put

from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.states import InstanceState

Plant = Callable[[Path, Path], None]


def link_to_a_mammogram(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def link_to_nothing(place: Path, outside: Path) -> None:
    place.symlink_to(outside.with_name("nothing"))


def link_to_endless_zeros(place: Path, outside: Path) -> None:
    del outside
    place.symlink_to("/dev/zero")


def pipe(place: Path, outside: Path) -> None:
    del outside
    os.mkfifo(place)


def folder(place: Path, outside: Path) -> None:
    del outside
    place.mkdir()


@pytest.fixture
def outside(reception: Reception, tmp_path: Path) -> Path:
    """Return a mammogram that lies outside of the spool."""
    receipt = put(reception.spool, mammogram())
    return reception.spool.incoming_file(receipt).rename(tmp_path / "outside.dcm")


@pytest.mark.parametrize(
    "plant", [link_to_a_mammogram, link_to_nothing, link_to_endless_zeros, pipe, folder]
)
def test_what_is_no_file_of_the_node_is_set_aside(
    reception: Reception, outside: Path, plant: Plant
) -> None:
    content = outside.read_bytes()
    receipt = reception.spool.receipts.new("b" * 16)
    plant(reception.spool.incoming_file(receipt), outside)
    behind = put(reception.spool, mammogram())

    reception.registrar.register_all()

    rows = {row.receipt: row for row in reception.instances()}
    assert rows[str(receipt)].state is InstanceState.SET_ASIDE
    assert rows[str(receipt)].reason == "foreign-file"
    assert rows[str(behind)].state is InstanceState.REGISTERED
    assert reception.spool.incoming() == []
    assert outside.read_bytes() == content


class SpoolOfAnotherAccount(Spool):
    """A spool in whose eyes the files that the test makes belong to somebody else."""

    accounts = frozenset({os.geteuid() + 1})


def test_file_of_another_account_is_set_aside(reception: Reception) -> None:
    foreign = put(reception.spool, mammogram())
    spool = SpoolOfAnotherAccount(reception.spool.root)

    replace(reception, spool=spool).registrar.register_all()

    (row,) = reception.instances()
    assert (row.receipt, row.state) == (str(foreign), InstanceState.SET_ASIDE)
    assert (row.reason, row.study_id) == ("foreign-file", None)
    assert f"user ID {os.geteuid()}" in row.detail
    assert reception.spool.incoming() == []


def test_file_that_nobody_may_read_is_set_aside(reception: Reception) -> None:
    receipt = put(reception.spool, mammogram())
    reception.spool.incoming_file(receipt).chmod(0)
    behind = put(reception.spool, mammogram())

    reception.registrar.register_all()

    rows = {row.receipt: row for row in reception.instances()}
    assert (rows[str(receipt)].reason, rows[str(receipt)].size_bytes > 0) == ("foreign-file", True)
    assert "permissions are 0000" in rows[str(receipt)].detail
    assert rows[str(behind)].state is InstanceState.REGISTERED
    assert reception.spool.incoming() == []


def test_hard_link_to_a_mammogram_is_a_copy_of_it(reception: Reception) -> None:
    first = reception.receive(mammogram())
    receipt = reception.spool.receipts.new("b" * 16)
    reception.spool.incoming_file(receipt).hardlink_to(reception.spool.file(first.place))

    reception.registrar.register_all()

    assert [row.receipt for row in reception.instances()] == [first.receipt]
    assert reception.spool.file(first.place).is_file()


def test_file_that_is_gone_before_it_is_read_harms_nothing_behind_it(
    reception: Reception,
) -> None:
    reading = HEADERS.read(
        reception.spool.root / "incoming" / "gone.dcm",
        identity_key=b"",
        secondary_capture_senders=frozenset(),
        maximum_bytes=1,
    )

    assert reading.problem is not None
    assert reading.problem.reason_word == "unreadable-object"
