"""A scanner that waits on the association of its request is told there, if the settings say so."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from listener_factory import Listening, associated
from node_factory import Reception, mammogram
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from services import wait_for
from test_commitment_requests import TRANSACTION, asking

from dicom_node.network import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from dicom_node.receive.commitment_reports import CommitmentReports
from dicom_node.receive.commitments import Commitments
from dicom_node.receive.committing import Waiting
from dicom_node.receive.upper_layer.association import StoreRequest
from dicom_node.receive.upper_layer.commands import Command, CommandField
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import CommitmentSettings, ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.line_reports import LineReports
from dicom_node.studies.ledger.site_tables import Commitment

N_ACTION = Command(
    field=CommandField.N_ACTION,
    message_id=1,
    has_data_set=True,
    sop_class_uid=STORAGE_COMMITMENT.encode(),
    sop_instance_uid=STORAGE_COMMITMENT_INSTANCE.encode(),
)
VERIFICATION = "1.2.840.10008.1.1"
PEER = {"ae_title": "SCANNER", "host": "127.0.0.1", "port": 9, "same_association": True}
OFFERED = {"commitment": [PEER]}

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def answer(reception: Reception) -> Iterator[Callable[[], None]]:
    """Return what judges and begins to report; a scanner that is called instead is away."""
    settings = Settings(receive=ReceiveSettings(commitment=(CommitmentSettings(**PEER),)))
    spool, database = reception.spool, reception.database
    reports = CommitmentReports(settings, spool.root, database, clock=database.now)
    commitments = Commitments(spool, database, reports.expect, clock=database.now)

    def step() -> None:
        commitments.judge_waiting()
        reports.tick()

    yield step
    reports.stop()


@pytest.fixture
def reporting(answer: Callable[[], None]) -> Iterator[None]:
    """Do beside a test what the node's threads do."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(0.05):
            answer()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    is_over.set()
    thread.join()


@contextmanager
def answer_to(lines: LineReports, name: str) -> Iterator[None]:
    """Take beside a test what is offered on one line, as its association does."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(0.01):
            if offered := lines.offered(name):
                lines.told(name, offered[0])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


Event = tuple[int, Dataset]


@contextmanager
def asked(
    port: int, uid: str, *, status: int = 0x0000, syntax: str = ExplicitVRLittleEndian
) -> Iterator[tuple[Any, list[Event]]]:
    """Ask as a scanner that stays on its association; yields it and what it is told."""
    told: list[Event] = []

    def on_report(event: Any) -> tuple[int, None]:
        told.append((event.request.EventTypeID, event.event_information))
        return status, None

    with associated(
        port,
        (STORAGE_COMMITMENT, [syntax]),
        (VERIFICATION, [syntax]),
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)],
    ) as association:
        answer, _ = association.send_n_action(
            asking(uid, "1.2.3.404"), 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
        assert answer.Status == 0x0000
        yield association, told


def is_reported(reception: Reception) -> bool:
    return all(row.reported_at is not None for row in reception.rows(Commitment))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_scanner_is_told_on_the_association_of_its_request(
    listening: Listening, reception: Reception, reporting: None, syntax: str
) -> None:
    row = reception.receive(mammogram())
    assert row is not None
    _, port = listening(**OFFERED)

    with asked(port, row.sop_instance_uid, syntax=syntax) as (association, told):
        wait_for(lambda: told, seconds=30, what="the scanner is told")
        assert association.send_c_echo().Status == 0x0000  # and goes on
        wait_for(lambda: is_reported(reception), seconds=30, what="the ledger says so")

    ((event_type, said),) = told
    assert (event_type, said.TransactionUID) == (2, TRANSACTION)
    (held,), (failed,) = said.ReferencedSOPSequence, said.FailedSOPSequence
    assert held.ReferencedSOPInstanceUID == row.sop_instance_uid
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.3.404", 0x0112)


def test_scanner_that_refuses_the_report_there_is_called(
    listening: Listening,
    reception: Reception,
    reporting: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dicom_node.receive.commitment_reports._LINE_PATIENCE", 0.3)
    _, port = listening(**OFFERED)

    with asked(port, "1.2.3.4", status=0x0110) as (_, told):
        wait_for(lambda: told, seconds=30, what="the scanner is told")
        wait_for(lambda: was_called(reception), seconds=30, what="the scanner is called")

    assert not is_reported(reception)


def test_scanner_that_has_left_is_called(
    listening: Listening, reception: Reception, answer: Callable[[], None]
) -> None:
    _, port = listening(**OFFERED)
    with asked(port, "1.2.3.4"):
        pass

    def is_called() -> bool:
        answer()
        return was_called(reception)

    wait_for(is_called, seconds=30, what="the scanner is called")


def test_scanner_is_called_where_the_settings_do_not_say_that_it_waits(
    listening: Listening, reception: Reception, reporting: None
) -> None:
    _, port = listening(commitment=[{**PEER, "same_association": False}])

    with asked(port, "1.2.3.4") as (association, told):
        wait_for(lambda: was_called(reception), seconds=30, what="the scanner is called")
        assert association.send_c_echo().Status == 0x0000

    assert told == []


def was_called(reception: Reception) -> bool:
    rows = reception.rows(Commitment)
    return bool(rows) and all(row.attempts and "does not answer" in row.reason for row in rows)


def test_each_request_of_an_association_is_reported_on_in_its_own_presentation_context(
    spool: Spool,
) -> None:
    lines = LineReports(spool.root)
    waiting = Waiting("ab12", lines)
    first, second = (
        StoreRequest(N_ACTION, STORAGE_COMMITMENT, syntax, context_id=number)
        for number, syntax in ((1, ImplicitVRLittleEndian), (3, ExplicitVRLittleEndian))
    )
    for request in (first, second):
        waiting.expect(request)

    for number, request in ((7, second), (8, first)):
        line = waiting.line_of(request)
        lines.offer(line, number, 1, b"said")
        assert waiting.next_report() == (request, 1, b"said")
        assert waiting.next_report() is None
        waiting.told(0x0000)
        assert lines.was_told(line, number)
    waiting.end()

    assert list((spool.root / "line-reports").iterdir()) == []


def test_answer_to_no_report_ends_the_association(
    listening: Listening, answer_unasked: Callable[[int], bool]
) -> None:
    _, port = listening(**OFFERED)

    assert answer_unasked(port)


@pytest.fixture
def answer_unasked() -> Callable[[int], bool]:
    def answer(port: int) -> bool:
        from pynetdicom.dimse_primitives import N_EVENT_REPORT

        with associated(port, (STORAGE_COMMITMENT, [ExplicitVRLittleEndian])) as association:
            message = N_EVENT_REPORT()
            message.MessageIDBeingRespondedTo = 1
            message.Status = 0x0000
            message.AffectedSOPClassUID = STORAGE_COMMITMENT
            message.AffectedSOPInstanceUID = STORAGE_COMMITMENT_INSTANCE
            message.EventTypeID = 1
            association.dimse.send_msg(message, association.accepted_contexts[0].context_id)
            wait_for(lambda: association.is_aborted, seconds=30, what="it is aborted")
        return True

    return answer
