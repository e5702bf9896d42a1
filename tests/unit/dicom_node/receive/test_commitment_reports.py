"""Which node tells which sender, and what a sender holds up that takes no report."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from node_factory import NOW, Reception, second_node
from pydicom.uid import ImplicitVRLittleEndian
from services import wait_for
from test_commitment_requests import TRANSACTION
from test_line_reports import answer_to

from dicom_node.errors import DestinationDownError
from dicom_node.facts.commitment_request import Asked, Reference
from dicom_node.receive.commitment_reports import CommitmentReports, Line
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import CommitmentSettings, ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.messages.line_reports import LineReports
from dicom_node.studies.ledger.proof.sender_requests import enter_commitment
from dicom_node.studies.ledger.site_tables import Commitment

SECOND = timedelta(seconds=1)


class Senders:
    """Takes the place of those that are called: it notes who was told what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[str, str]] = []
        self.tried: list[str] = []
        self.away: set[str] = set()
        self.silent: dict[str, threading.Event] = {}
        monkeypatch.setattr("dicom_node.receive.commitment_reports.send_report", self._take)

    def _take(self, peer: DicomDestination, transaction: str, *_: Any, **__: Any) -> None:
        self.tried.append(transaction)
        if peer.ae_title in self.silent:
            self.silent[peer.ae_title].wait(30)
        if {peer.ae_title, transaction} & self.away:
            raise DestinationDownError("it does not answer")
        self.told.append((peer.ae_title, transaction))


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> Senders:
    return Senders(monkeypatch)


class Node:
    """What reports in one node, whose settings name some senders."""

    def __init__(self, reception: Reception, *titles: str) -> None:
        self.now = NOW
        self.reception = reception
        peers = tuple(CommitmentSettings(ae_title=one, host="127.0.0.1") for one in titles)
        self.reports = CommitmentReports(
            Settings(receive=ReceiveSettings(commitment=peers)),
            reception.spool.root,
            reception.database,
            clock=lambda: self.now,
        )

    def ask(self, title: str, transaction: str = TRANSACTION, line: Line | None = None) -> None:
        """Ask as a sender does, and be judged."""
        asked = Asked(
            transaction_uid=transaction,
            calling_ae_title=title,
            called_ae_title="MAMMOCLIP",
            references=(Reference("1.2.3", "1.2.3.4"),),
        )
        self.reports.expect(asked, line)
        with self.reception.database.writing() as session:
            enter_commitment(session, asked, is_there=(), at=self.now)

    def rows(self) -> dict[str, Commitment]:
        return {row.transaction_uid: row for row in self.reception.rows(Commitment)}


def test_silent_sender_holds_up_no_other(reception: Reception, senders: Senders) -> None:
    node = Node(reception, "SILENT", "SCANNER")
    senders.silent["SILENT"], senders.away = threading.Event(), {"SILENT"}
    for number in range(60):
        node.ask("SILENT", f"1.2.3.{number}")
    node.now += SECOND
    node.ask("SCANNER")

    node.reports.tick()
    wait_for(lambda: senders.told, seconds=30, what="the other one is told")
    assert senders.told == [("SCANNER", TRANSACTION)]
    node.reports.tick()
    senders.silent["SILENT"].set()
    node.reports.stop()

    assert senders.tried.count("1.2.3.0") == 1
    assert len(senders.tried) == 2
    waiting = [row for uid, row in node.rows().items() if uid != TRANSACTION]
    assert {row.attempts for row in waiting} == {1}
    assert min(row.due_at for row in waiting) > node.now + 9 * SECOND


def test_report_that_its_sender_never_takes_holds_up_no_other(
    reception: Reception, senders: Senders
) -> None:
    node = Node(reception, "SCANNER")
    senders.away = {"1.2.3.0"}
    for number in range(3):
        node.ask("SCANNER", f"1.2.3.{number}")

    assert node.reports.report_to("SCANNER") == 0
    node.now += 10 * SECOND
    assert node.reports.report_to("SCANNER") == 2

    assert {uid for _, uid in senders.told} == {"1.2.3.1", "1.2.3.2"}


def test_report_over_an_open_association_is_not_put_off_with_the_others(
    reception: Reception, senders: Senders
) -> None:
    node = Node(reception, "SCANNER")
    senders.away = {"SCANNER"}
    lines = LineReports(reception.spool.root)
    lines.wait("ab.1")
    node.ask("SCANNER", "1.2.3.1")
    node.ask("SCANNER", "1.2.3.2", Line(name="ab.1", transfer_syntax=ImplicitVRLittleEndian))

    with answer_to(lines, "ab.1"):
        assert node.reports.report_to("SCANNER") == 1

    assert senders.tried == ["1.2.3.1"]
    assert node.rows()["1.2.3.2"].reported_at == node.now


@pytest.fixture
def nodes(reception: Reception, tmp_path: Path) -> tuple[Node, Node]:
    """Return two nodes before one ledger, which know the same senders."""
    other = second_node(reception, tmp_path / "second")
    return Node(reception, "SCANNER"), Node(other, "SCANNER")


def test_two_nodes_report_once(nodes: tuple[Node, Node], senders: Senders) -> None:
    first, second = nodes
    first.ask("SCANNER")
    first.now = second.now = NOW + 40 * SECOND
    senders.silent["SCANNER"] = threading.Event()

    first.reports.tick()
    wait_for(lambda: senders.tried, seconds=30, what="the first node calls")
    assert second.reports.report_to("SCANNER") == 0
    senders.silent["SCANNER"].set()
    first.reports.stop()

    assert senders.told == [("SCANNER", TRANSACTION)]


def test_report_that_is_due_at_two_nodes_at_once_is_given_by_one(
    nodes: tuple[Node, Node], senders: Senders
) -> None:
    first, second = nodes
    first.ask("SCANNER")
    first.now = second.now = NOW + 40 * SECOND
    together = threading.Barrier(2)

    def report(node: Node) -> None:
        together.wait(30)
        node.reports.report_to("SCANNER")

    threads = [threading.Thread(target=report, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert senders.told == [("SCANNER", TRANSACTION)]


def test_report_of_a_node_that_was_killed_is_given_again(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch, senders: Senders
) -> None:
    first, second = nodes
    first.ask("SCANNER")

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("dicom_node.receive.commitment_reports.send_report", kill)
        first.reports.report_to("SCANNER")
    second.now += 60 * SECOND
    assert second.reports.report_to("SCANNER") == 0
    second.now += 240 * SECOND
    assert second.reports.report_to("SCANNER") == 1


def test_node_that_was_asked_reports_first(nodes: tuple[Node, Node], senders: Senders) -> None:
    first, second = nodes
    first.ask("SCANNER")

    assert second.reports.report_to("SCANNER") == 0
    assert first.reports.report_to("SCANNER") == 1


def test_other_node_reports_for_one_that_is_away(
    nodes: tuple[Node, Node], senders: Senders
) -> None:
    first, second = nodes
    first.ask("SCANNER")
    second.now += 30 * SECOND

    assert second.reports.report_to("SCANNER") == 1


def test_node_that_does_not_reach_the_sender_does_not_go_first_again(
    nodes: tuple[Node, Node], senders: Senders
) -> None:
    first, second = nodes
    first.ask("SCANNER")
    senders.away = {"SCANNER"}
    assert first.reports.report_to("SCANNER") == 0

    first.now += 10 * SECOND
    assert first.reports.report_to("SCANNER") == 0
    assert len(senders.tried) == 1
    senders.away, second.now = set(), NOW + 40 * SECOND
    assert second.reports.report_to("SCANNER") == 1


def test_node_whose_settings_do_not_name_the_sender_leaves_it_to_the_others(
    reception: Reception, tmp_path: Path, senders: Senders
) -> None:
    first = Node(reception, "SCANNER")
    second = Node(second_node(reception, tmp_path / "second"), "OTHER")
    first.ask("SCANNER")
    senders.away = {"SCANNER"}
    first.now += timedelta(days=6, hours=23)
    assert first.reports.report_to("SCANNER") == 0

    second.now += timedelta(days=7, minutes=1)
    second.reports.tick()
    (kept,) = first.rows().values()
    assert (kept.attempts, kept.reported_at) == (1, None)

    senders.away, first.now = set(), second.now
    assert first.reports.report_to("SCANNER") == 1
