"""A scanner asks for storage commitment: who may, and what the node answers at once."""

from typing import Any

import pytest
from listener_factory import Listening, associated
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_role

from dicom_node.facts.commitment_request import asked_in
from dicom_node.network import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.sender_requests import SenderRequest, SenderRequests

OFFERED = {"commitment": [{"ae_title": "SCANNER", "host": "127.0.0.1"}]}
TRANSACTION = "1.2.3.77"


def asking(*uids: str, transaction: str = TRANSACTION) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = []
    for uid in uids or ("1.2.3.1", "1.2.3.2"):
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
        item.ReferencedSOPInstanceUID = uid
        dataset.ReferencedSOPSequence.append(item)
    return dataset


def ask(port: int, dataset: Dataset | None = None, **how: Any) -> int | None:
    """Ask for commitment; return the status."""
    action = how.pop("action", 1)
    instance = how.pop("instance", STORAGE_COMMITMENT_INSTANCE)
    syntax = how.pop("syntax", ImplicitVRLittleEndian)
    with associated(port, (STORAGE_COMMITMENT, [syntax]), **how) as association:
        if not association.is_established:
            return None
        status, _ = association.send_n_action(
            asking() if dataset is None else dataset, action, STORAGE_COMMITMENT, instance
        )
        found: int | None = status.get("Status")
        return found


def kept(spool: Spool) -> list[SenderRequest | None]:
    return [request for _, _, request in SenderRequests(spool.root).waiting()]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_request_is_safe_on_disk_before_it_is_answered(
    listening: Listening, spool: Spool, syntax: str
) -> None:
    _, port = listening(**OFFERED)

    assert ask(port, syntax=syntax) == 0x0000

    (request,) = kept(spool)
    assert request is not None
    asked = asked_in(request)
    assert asked is not None
    assert (asked.transaction_uid, asked.calling_ae_title) == (TRANSACTION, "SCANNER")
    assert [one.sop_instance_uid for one in asked.references] == ["1.2.3.1", "1.2.3.2"]
    assert not list((spool.root / "partial").iterdir())


@pytest.mark.parametrize("role", [[], [build_role(STORAGE_COMMITMENT, scu_role=True)]])
def test_scanner_may_select_its_role_or_not(
    listening: Listening, spool: Spool, role: list[Any]
) -> None:
    _, port = listening(**OFFERED)

    assert ask(port, ext_neg=role) == 0x0000


def test_commitment_is_offered_to_nobody_by_default(listening: Listening) -> None:
    _, port = listening()

    assert ask(port) is None


def test_commitment_is_offered_to_nobody_else(listening: Listening, spool: Spool) -> None:
    _, port = listening(**OFFERED)

    assert ask(port, calling="STRANGER") is None
    assert kept(spool) == []


def test_request_that_is_none_is_answered_with_its_reason(
    listening: Listening, spool: Spool
) -> None:
    _, port = listening(**OFFERED)

    assert ask(port, action=2) == 0x0123
    assert ask(port, instance="1.2.3") == 0x0112
    assert kept(spool) == []


@pytest.mark.parametrize("missing", ["TransactionUID", "ReferencedSOPSequence"])
def test_request_that_could_not_be_reported_on_is_refused(
    listening: Listening, spool: Spool, missing: str
) -> None:
    _, port = listening(**OFFERED)
    dataset = asking()
    delattr(dataset, missing)

    assert ask(port, dataset) == 0x0115
    assert kept(spool) == []


def test_full_disk_and_flood_are_answered_with_resource_limitation(
    listening: Listening, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.spool.messages.sender_requests.MOST_WAITING", 1)
    _, port = listening(**OFFERED)

    assert ask(port) == 0x0000
    assert ask(port) == 0x0213


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no data set",
        b"\xff" * 1000,
        b"\x08\x00\x99\x11\xff\xff\xff\xff" * 5000,
        b"\x08\x00\x95\x11\x04\x00\x00\x001.2\x00",
    ],
)
def test_bytes_that_are_no_request_are_none(content: bytes) -> None:
    request = SenderRequest(
        calling_ae_title="SCANNER",
        called_ae_title="MAMMOCLIP",
        transfer_syntax=ImplicitVRLittleEndian,
        content=content,
    )

    assert asked_in(request) is None


def test_planted_files_are_no_requests(spool: Spool) -> None:
    folder = spool.root / "commitment"
    folder.mkdir()
    (folder / "1-a.message").write_bytes(b"[]\nnothing")
    (folder / "2-b.message").symlink_to("/etc/hostname")
    (folder / "3-c.message").mkdir()

    assert kept(spool) == [None]
