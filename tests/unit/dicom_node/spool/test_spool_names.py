from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt, new_association_token, study_place

ASSOCIATION = "0123456789abcdef"


@given(
    received_ns=st.integers(min_value=0, max_value=2**62),
    association=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    token=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
)
def test_receipt_is_read_back_from_its_name(received_ns: int, association: str, token: str) -> None:
    receipt = Receipt(received_ns, association, token)

    assert Receipt.parse(str(receipt)) == receipt


@given(st.text())
def test_name_that_is_no_receipt_is_none(name: str) -> None:
    assert Receipt.parse(name) is None


@pytest.mark.parametrize("name", ["1" * 19 + "-" + "a" * 16 + "-" + "b" * 8 + end for end in "x\n"])
def test_name_with_something_behind_it_is_no_receipt(name: str) -> None:
    assert Receipt.parse(name) is None


def test_receipts_sort_by_time_of_reception() -> None:
    names = [str(Receipt(ns, ASSOCIATION, "0" * 8)) for ns in (5, 40, 10**18)]

    assert sorted(names) == names


def test_receipt_tells_when_in_utc() -> None:
    receipt = Receipt(1_700_000_000_500_000_000, ASSOCIATION, "0" * 8)

    assert receipt.received_at == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)


def test_association_tokens_differ() -> None:
    assert new_association_token() != new_association_token()


@pytest.mark.parametrize("uid", ["1.2.3", "../../etc", "/etc", "", "x" * 5000, "a\0b"])
def test_study_place_is_never_made_of_the_uid(spool: Spool, uid: str) -> None:
    place = study_place(spool.receipts.new(ASSOCIATION), uid)

    assert spool.file(place).is_relative_to(spool.root / "studies")
    assert len(place) < 120


def test_studies_have_folders_of_their_own(spool: Spool) -> None:
    receipt = spool.receipts.new(ASSOCIATION)

    assert study_place(receipt, "1.2.3") != study_place(receipt, "1.2.4")
