"""What is answered 0x0000 and not registered yet is waited for before the node says it has none."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from corrected_images import copy_of, pictured
from node_factory import NOW, Reception, mammogram, put, second_node
from ports import free_port
from sqlalchemy import update
from test_commitment_requests import asking
from test_commitments import Site

from dicom_node.spool.messages.sender_requests import SenderRequests
from dicom_node.spool.open_associations import SentObject
from dicom_node.spool.receipt_clock import ReceiptClock
from dicom_node.studies.ledger.arrival.coming import tell_coming
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance
from dicom_node.studies.own_spool import own_spool


@pytest.fixture
def site(reception: Reception) -> Site:
    return Site(reception, free_port())


def came_at(site: Site) -> datetime:
    """Return when the request came that waits."""
    return next(SenderRequests(site.reception.spool.root).waiting())[1]


def test_object_that_is_not_registered_yet_is_waited_for(site: Site) -> None:
    image = mammogram()
    put(site.reception.spool, image)
    site.ask(asking(image.SOPInstanceUID))
    site.now = came_at(site)

    assert site.commitments.judge_waiting() == 0
    site.reception.registrar.register_all()
    assert site.commitments.judge_waiting() == 1

    assert site.answers() == {image.SOPInstanceUID: None}


def test_object_from_before_the_clock_was_set_back_is_waited_for(site: Site) -> None:
    image = mammogram()
    an_hour_on = time.time_ns() + 3600 * 10**9
    site.reception.spool.receipts = ReceiptClock(site.reception.spool.root, host=lambda: an_hour_on)
    put(site.reception.spool, image)
    site.ask(asking(image.SOPInstanceUID))
    site.now = came_at(site) + timedelta(minutes=1)

    assert site.commitments.judge_waiting() == 0


def test_object_that_is_never_registered_is_not_waited_for_for_ever(site: Site) -> None:
    put(site.reception.spool, mammogram())
    site.ask(asking("1.2.3.4"))
    asked_at = came_at(site)

    site.now = asked_at + timedelta(minutes=9)
    assert site.commitments.judge_waiting() == 0
    site.now = asked_at + timedelta(minutes=11)
    assert site.commitments.judge_waiting() == 1


@pytest.mark.parametrize("former", [InstanceState.REMOVED, InstanceState.SET_ASIDE])
def test_object_that_is_sent_again_is_waited_for(site: Site, former: InstanceState) -> None:
    reception, image = site.reception, mammogram()
    if former is InstanceState.REMOVED:
        reception.receive(image)
        gone = {"state": former, "place": "", "removed_at": NOW}
        with reception.database.writing() as session:
            session.execute(update(Instance).values(**gone))
    else:
        reception.receive(
            mammogram(SOPInstanceUID=image.SOPInstanceUID, without=["ImageLaterality"])
        )
    assert [row.state for row in reception.instances()] == [former]
    put(reception.spool, image)
    site.ask(asking(image.SOPInstanceUID))
    site.now = came_at(site)

    assert site.commitments.judge_waiting() == 0
    reception.registrar.register_all()
    assert site.commitments.judge_waiting() == 1

    assert site.answers() == {image.SOPInstanceUID: None}


@pytest.mark.parametrize("state", [InstanceState.RECEIVED, InstanceState.TAKEN_BACK])
def test_object_between_two_places_is_waited_for_and_never_denied(
    site: Site, state: InstanceState
) -> None:
    row = site.reception.receive(mammogram())
    assert row is not None
    with site.reception.database.writing() as session:
        session.execute(update(Instance).values(state=state))
    site.ask(asking(row.sop_instance_uid))
    asked_at = site.now = came_at(site)

    assert site.commitments.judge_waiting() == 0
    site.now = asked_at + timedelta(minutes=11)
    assert site.commitments.judge_waiting() == 1

    assert site.answers() == {row.sop_instance_uid: 0x0110}


def test_copy_that_comes_while_others_are_registered_is_seen_before_it_is_answered(
    site: Site,
) -> None:
    reception, image = site.reception, pictured()
    reception.receive(image)

    def register() -> None:
        reception.registrar.register_all()
        if not list(SenderRequests(reception.spool.root).waiting()):
            put(reception.spool, copy_of(image, PixelData=bytes(len(image.PixelData))))
            site.ask(asking(image.SOPInstanceUID))

    assert site.commitments.judge_after(register) == 0
    assert site.commitments.judge_after(register) == 1

    assert site.answers() == {image.SOPInstanceUID: 0x0110}


@pytest.fixture
def other(site: Site, tmp_path: Path) -> Reception:
    """Return another node before the same ledger; the first one is asked."""
    return second_node(site.reception, tmp_path / "second")


def tell(node: Reception, at: datetime, *since: datetime) -> None:
    """Say for a node what waits there, as its settling does."""
    sent = [
        SentObject(association="a" * 16, study_instance_uid="1.2", is_coming=True, since=one)
        for one in since
    ]
    with node.database.writing() as session:
        tell_coming(session, own_spool(node.spool, node.database), sent, at=at)


def test_object_that_waits_at_another_node_is_waited_for(site: Site, other: Reception) -> None:
    image = mammogram()
    receipt = put(other.spool, image)
    site.ask(asking(image.SOPInstanceUID))
    asked_at = came_at(site)
    site.now = asked_at + timedelta(seconds=6)
    # What came later tells of no request.
    tell(other, site.now, receipt.received_at, site.now)

    assert site.commitments.judge_waiting() == 0
    other.registrar.register_all()
    assert site.commitments.judge_waiting() == 1

    assert site.answers() == {image.SOPInstanceUID: None}


def test_other_node_is_waited_for_until_it_has_said_what_it_has(
    site: Site, other: Reception
) -> None:
    site.ask(asking("1.2.3.4"))
    asked_at = site.now = came_at(site)
    tell(other, asked_at)

    assert site.commitments.judge_waiting() == 0
    site.now += timedelta(seconds=6)
    tell(other, site.now, site.now)
    assert site.commitments.judge_waiting() == 1


def test_other_node_that_was_taken_away_is_not_waited_for(site: Site, other: Reception) -> None:
    site.ask(asking("1.2.3.4"))
    site.now = came_at(site)
    tell(other, site.now - timedelta(minutes=1))

    assert site.commitments.judge_waiting() == 1
