"""What the node commits to, and how it reports it to the scanner that asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from corrected_images import CORRECTED, copy_of, pictured
from node_factory import FOR_PRESENTATION, NOW, Reception, encoded, mammogram
from ports import free_port
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from sqlalchemy import update
from test_commitment_requests import asking

from dicom_node.network import STORAGE_COMMITMENT
from dicom_node.receive.commitment_reports import CommitmentReports
from dicom_node.receive.commitments import Commitments
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import CommitmentSettings, ReceiveSettings
from dicom_node.spool.messages.sender_requests import SenderRequest, SenderRequests
from dicom_node.studies.ledger.proof.sender_requests import note_archived
from dicom_node.studies.ledger.removal.removing import finished_studies
from dicom_node.studies.ledger.site_tables import Commitment, CommitmentItem
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Instance, Study

TRANSACTION = "1.2.3.77"
HOUR = timedelta(hours=1)


class Site:
    """A reception whose scanner is told of what the node commits to."""

    def __init__(self, reception: Reception, port: int) -> None:
        self.reception = reception
        self.now = NOW
        peer = CommitmentSettings(ae_title="SCANNER", host="127.0.0.1", port=port)
        self.settings = Settings(receive=ReceiveSettings(commitment=(peer,)))

    @property
    def commitments(self) -> Commitments:
        """Return what judges, as a node has it after each restart."""
        reception = self.reception
        return Commitments(reception.spool, reception.database, clock=lambda: self.now)

    @property
    def reports(self) -> CommitmentReports:
        """Return what reports, likewise."""
        reception = self.reception
        return CommitmentReports(
            self.settings, reception.spool.root, reception.database, clock=lambda: self.now
        )

    def ask(self, dataset: Dataset) -> None:
        request = SenderRequest(
            calling_ae_title="SCANNER",
            called_ae_title="MAMMOCLIP",
            transfer_syntax=ExplicitVRLittleEndian,
            content=encoded(dataset),
        )
        SenderRequests(self.reception.spool.root).keep(request)

    def answers(self) -> dict[str, int | None]:
        items = self.reception.rows(CommitmentItem)
        return {one.sop_instance_uid: one.failure_reason for one in items}


@pytest.fixture
def site(reception: Reception) -> Site:
    return Site(reception, free_port())


@contextmanager
def scanner(
    site: Site,
    *,
    status: int = 0x0000,
    selects_role: bool = True,
    offers: str = STORAGE_COMMITMENT,
) -> Iterator[list[tuple[int, Dataset]]]:
    """Run a scanner that takes reports on storage commitment; yields what it is told."""
    told: list[tuple[int, Dataset]] = []

    def take(event: evt.Event) -> tuple[int, None]:
        told.append((event.request.EventTypeID, event.event_information))
        return status, None

    entity = AE(ae_title="SCANNER")
    roles = {"scu_role": False, "scp_role": True} if selects_role else {}
    entity.add_supported_context(offers, ImplicitVRLittleEndian, **roles)
    (peer,) = site.settings.receive.commitment
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, take)]
    server: Any = entity.start_server(("127.0.0.1", peer.port), block=False, evt_handlers=handlers)
    try:
        yield told
    finally:
        server.shutdown()


def test_each_instance_is_answered_for_what_is_held_now(site: Site) -> None:
    reception = site.reception
    rows = [reception.receive(mammogram()) for _ in range(4)]
    held, gone, other, removed = (row for row in rows if row is not None)
    aside = reception.receive(mammogram(without=["ImageLaterality"]))
    assert aside is not None
    reception.spool.file(gone.place).unlink()
    with reception.database.writing() as session:
        session.execute(
            update(Instance).where(Instance.id == removed.id).values(state=InstanceState.REMOVED)
        )
    uids = [one.sop_instance_uid for one in (held, gone, other, removed, aside)]
    dataset = asking(*uids, "1.2.3.4.5")
    dataset.ReferencedSOPSequence[2].ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    site.ask(dataset)

    assert site.commitments.judge_waiting() == 1

    assert site.answers() == {
        held.sop_instance_uid: None,
        gone.sop_instance_uid: 0x0112,
        other.sop_instance_uid: 0x0119,
        removed.sop_instance_uid: 0x0112,
        aside.sop_instance_uid: 0x0110,
        "1.2.3.4.5": 0x0112,
    }
    committed = [row.id for row in reception.instances() if row.committed_at is not None]
    assert committed == [held.id]
    assert site.commitments.judge_waiting() == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("left", [0, 100])
def test_file_that_was_cut_is_not_committed_to(site: Site, left: int) -> None:
    row = site.reception.receive(mammogram())
    assert row is not None
    file = site.reception.spool.file(row.place)
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:left])
    site.ask(asking(row.sop_instance_uid))
    site.commitments.judge_waiting()

    assert site.answers() == {row.sop_instance_uid: 0x0112}


def test_uid_of_which_another_copy_was_set_aside_is_not_committed(site: Site) -> None:
    image = pictured()
    other = copy_of(image, PixelData=bytes([7]) * len(image.PixelData))
    site.reception.receive(image)
    aside = site.reception.receive(other)
    assert aside is not None
    assert (aside.state, aside.reason) == (InstanceState.SET_ASIDE, "same-uid-other-content")
    with site.reception.database.writing() as session:  # the retention has dropped its file
        session.execute(
            update(Instance).where(Instance.id == aside.id).values(removed_at=NOW, place="")
        )
    site.ask(asking(aside.sop_instance_uid))
    site.commitments.judge_waiting()

    assert site.answers() == {aside.sop_instance_uid: 0x0110}
    assert all(row.committed_at is None for row in site.reception.instances())


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_image_that_is_sent_again_after_it_was_set_aside_is_committed(site: Site) -> None:
    image = mammogram()
    site.reception.receive(mammogram(SOPInstanceUID=image.SOPInstanceUID, without=["ViewPosition"]))
    site.reception.receive(image)
    site.ask(asking(image.SOPInstanceUID))
    site.commitments.judge_waiting()

    assert site.answers() == {image.SOPInstanceUID: None}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("unknown", [[], ["1.2.3.4"]])
def test_scanner_is_told_over_an_association_of_its_own(site: Site, unknown: list[str]) -> None:
    row = site.reception.receive(mammogram())
    assert row is not None
    site.ask(asking(row.sop_instance_uid, *unknown))
    site.commitments.judge_waiting()

    with scanner(site) as told:
        assert site.reports.report_to("SCANNER") == 1
        assert site.reports.report_to("SCANNER") == 0

    ((event, report),) = told
    assert event == (2 if unknown else 1)
    assert report.TransactionUID == TRANSACTION
    (item,) = report.ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == row.sop_instance_uid
    assert item.ReferencedSOPClassUID == FOR_PRESENTATION
    failed = [
        (one.ReferencedSOPInstanceUID, one.FailureReason)
        for one in report.get("FailedSOPSequence", [])
    ]
    assert failed == [(uid, 0x0112) for uid in unknown]
    (kept,) = site.reception.rows(Commitment)
    assert (kept.reported_at, kept.reason) == (NOW, "")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_uid_that_is_not_to_the_letter_is_answered_as_the_sender_has_it(site: Site) -> None:
    uid = "1.2.840.0113.5.07"
    dataset = asking("1.2.3.4")
    dataset.ReferencedSOPSequence[0].add(
        DataElement("ReferencedSOPInstanceUID", "UI", uid, validation_mode=IGNORE)
    )
    site.ask(dataset)
    site.commitments.judge_waiting()

    with scanner(site) as told:
        assert site.reports.report_to("SCANNER") == 1

    ((_, report),) = told
    (failed,) = report.FailedSOPSequence
    assert failed.get_item("ReferencedSOPInstanceUID").value.strip(b"\0") == uid.encode()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_scanner_that_is_away_is_told_when_it_is_back(site: Site) -> None:
    site.ask(asking())
    site.commitments.judge_waiting()

    for _ in range(3):
        assert site.reports.report_to("SCANNER") == 0
    (kept,) = site.reception.rows(Commitment)
    assert (kept.attempts, kept.due_at) == (1, NOW + timedelta(seconds=10))
    assert "[[receive.commitment]]" in kept.reason
    site.now += timedelta(seconds=10)
    site.reports.report_to("SCANNER")
    assert site.reception.rows(Commitment)[0].due_at == site.now + timedelta(seconds=20)

    site.now += HOUR
    with scanner(site, status=0x0110):
        assert site.reports.report_to("SCANNER") == 0
    assert "status 0x0110" in site.reception.rows(Commitment)[0].reason
    site.now += HOUR
    with scanner(site) as told:
        assert site.reports.report_to("SCANNER") == 1
    assert len(told) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_scanner_that_says_nothing_of_roles_is_told_all_the_same(site: Site) -> None:
    site.ask(asking())
    site.commitments.judge_waiting()

    with scanner(site, selects_role=False) as told:
        assert site.reports.report_to("SCANNER") == 1

    assert len(told) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_scanner_that_takes_no_reports_is_named_with_its_cause(site: Site) -> None:
    site.ask(asking())
    site.commitments.judge_waiting()

    with scanner(site, offers="1.2.840.10008.1.1"):
        assert site.reports.report_to("SCANNER") == 0

    (kept,) = site.reception.rows(Commitment)
    assert kept.reason == "it accepts no reports on storage commitment"


def test_report_is_given_up_after_its_time(site: Site) -> None:
    site.ask(asking())
    site.commitments.judge_waiting()
    site.settings = Settings()  # the scanner was taken out of the settings
    site.now += timedelta(days=8)

    site.reports.tick()

    (kept,) = site.reception.rows(Commitment)
    assert kept.reported_at == site.now
    assert kept.reason.startswith("given up: it is not in receive.commitment any more")


def test_request_that_comes_again_is_answered_again(site: Site) -> None:
    row = site.reception.receive(mammogram())
    assert row is not None
    site.ask(asking("1.2.3.4"))
    site.commitments.judge_waiting()
    site.now += HOUR
    site.ask(asking(row.sop_instance_uid))
    site.commitments.judge_waiting()

    assert site.answers() == {row.sop_instance_uid: None}
    (kept,) = site.reception.rows(Commitment)
    assert (kept.requested_at, kept.reported_at) == (site.now, None)


def test_node_killed_before_a_request_left_the_spool_commits_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = site.reception.receive(mammogram())
    assert row is not None
    site.ask(asking(row.sop_instance_uid))

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(SenderRequests, "drop", kill)
        site.commitments.judge_waiting()
    site.commitments.judge_waiting()

    assert len(site.reception.rows(Commitment)) == 1
    assert site.answers() == {row.sop_instance_uid: None}


def test_committed_image_is_kept_until_an_archive_has_it(site: Site) -> None:
    row = site.reception.receive(mammogram())
    assert row is not None
    with site.reception.database.writing() as session:
        done = {"state": StudyState.SETTLED, "remark": "nothing to analyse"}
        session.execute(update(Study).values(**done, last_received_at=NOW))

    def may_go() -> bool:
        with site.reception.database.reading() as session:
            found, _ = finished_studies(session, 1, confirming=(), received_before=NOW)
        return bool(found)

    assert may_go()
    site.ask(asking(row.sop_instance_uid))
    site.commitments.judge_waiting()
    assert not may_go()
    with site.reception.database.writing() as session:
        note_archived(session, [row.id], at=NOW)
    assert may_go()


def test_image_that_takes_the_place_of_a_committed_one_is_committed(site: Site) -> None:
    image = pictured()
    row = site.reception.receive(image)
    assert row is not None
    site.ask(asking(row.sop_instance_uid))
    site.commitments.judge_waiting()

    corrected = site.reception.receive(copy_of(image, **CORRECTED))

    assert corrected is not None
    assert corrected.reason == "corrected"
    assert corrected.committed_at is not None
