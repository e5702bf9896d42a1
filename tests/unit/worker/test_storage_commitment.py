"""Storage commitment asked of archives that report in all the ways in which they differ."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from committing_archive import IMPLICIT, CommittingArchive
from ports import free_port
from proving_site import Proving, proving_site, stop_beside
from pydicom.dataset import Dataset
from services import wait_for
from sqlalchemy import delete, select, update
from unit.dicom_node.node_factory import Reception

from dicom_node.commands.tables import study_record_tables
from dicom_node.receive.listener import Listener
from dicom_node.receive.reporters import reporters_of
from dicom_node.settings.work import RetrySettings
from dicom_node.spool.messages.reports import Reports
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.site_tables import CommitmentRequest
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import DeliveryOutcome, Study
from worker.runtime import Runtime

COMMITTED, CONFIRMED = DeliveryState.COMMITTED, DeliveryState.CONFIRMED

Start = Callable[..., Proving]


@pytest.fixture
def site_with(runtime_with: Callable[..., Runtime], reception: Reception) -> Iterator[Start]:
    """Start a node that listens, and an archive that commits."""
    sites: list[Proving] = []
    started: list[Any] = []

    def start(receive: dict[str, Any] | None = None, **behaviour: Any) -> Proving:
        changes = {"confirm": "commitment", **behaviour.pop("destination", {})}
        archive = CommittingArchive(node_port=free_port(), **behaviour)
        site = proving_site(runtime_with, reception, archive.start(), **changes)
        settings = site.node.settings.receive.model_copy(
            update={"port": archive.node_port, "minimum_free_bytes": 1, **(receive or {})}
        )
        site.node.settings = site.node.settings.model_copy(update={"receive": settings})
        listener = Listener(settings, reception.spool, reporters=reporters_of(site.node.settings))
        listener.start()
        sites.append(site)
        started.extend([archive, listener])
        site.deliver()
        return site

    yield start
    for site in sites:
        site.prover.stop()  # it asks on beside the test
    stop_beside(started)


def requests(site: Proving) -> list[CommitmentRequest]:
    return site.reception.rows(CommitmentRequest)


def is_committed(site: Proving) -> bool:
    site.prover.tick()
    return site.delivery.state is COMMITTED


def has_replied(site: Proving, count: int = 1) -> None:
    archive = site.archive
    assert isinstance(archive, CommittingArchive)
    wait_for(lambda: len(archive.replies) >= count, seconds=30, what="the report is answered")


WAYS: dict[str, dict[str, Any]] = {
    "a new association": {},
    "a new association without role selection": {"has_role_selection": False},
    "the same association": {"way": "same association"},
    "Implicit VR": {"syntax": IMPLICIT},
    "Implicit VR on the same association": {"syntax": IMPLICIT, "way": "same association"},
    "no Event Type ID": {"has_event_type": False},
    "no Event Type ID on the same association": {
        "has_event_type": False,
        "way": "same association",
    },
    "another called title": {"called": "ALIAS", "receive": {"called_ae_titles": ("ALIAS",)}},
    "the title that called it": {"destination": {"calling_ae_title": "RESULTS"}},
    "another calling title": {
        "calling": "ARCHIVE2",
        "destination": {"commitment_ae_titles": ("ARCHIVE2",)},
    },
    "another host of its network": {
        "destination": {"host": "localhost", "commitment_networks": ("127.0.0.0/8",)},
    },
    "no right to send": {"receive": {"calling_ae_titles": ("SCANNER",)}},
}


SHORT = ("a new association", "no Event Type ID on the same association", "no right to send")


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(how, id=name, marks=() if name in SHORT else pytest.mark.long)
        for name, how in WAYS.items()
    ],
)
def test_report_is_believed_in_whichever_way_it_comes(
    site_with: Start, behaviour: dict[str, Any]
) -> None:
    site = site_with(**behaviour)

    wait_for(lambda: is_committed(site), seconds=60, what="the delivery is committed")
    has_replied(site)

    assert site.archive.replies == [0x0000]  # type: ignore[attr-defined]
    assert site.outcomes() == {"committed"}
    assert (site.summary().condition, site.summary().proof) == ("delivered", "committed")
    assert [one.ending for one in requests(site)] == ["3 committed, 0 not held"]


def test_archive_that_commits_to_nothing_it_was_sent_is_found_out(site_with: Start) -> None:
    destination = {"confirm_within_seconds": 0.001}
    site = site_with(keeps=False, destination=destination)

    def is_sent_again() -> bool:
        site.prover.tick()
        return site.delivery.state is DeliveryState.DUE

    wait_for(is_sent_again, seconds=60, what="the objects are sent again")

    assert site.outcomes() == {"missing"}
    assert "not-kept" in site.delivery.reason
    assert len({one.transaction_uid for one in requests(site)}) == len(requests(site)) >= 2


def test_request_without_an_answer_is_made_anew_with_a_new_transaction(site_with: Start) -> None:
    site = site_with(way="never", destination={"commitment_seconds": 0.001})
    site.ask()
    former = requests(site)[0]
    site.archive.way = "new association"  # type: ignore[attr-defined]
    site.change_destination(commitment_seconds=3600)

    wait_for(lambda: is_committed(site), seconds=60, what="the delivery is committed")

    first, *others = requests(site)
    assert first.ending == "not answered within commitment_seconds"
    assert former.transaction_uid not in {one.transaction_uid for one in others}


@pytest.mark.parametrize(
    "behaviour",
    [{"offers": False}, {"aborts": True}, {"answers": [0x0124]}, {"answers": [0x0211]}],
)
def test_archive_without_storage_commitment_is_asked_by_query_where_that_is_wanted(
    site_with: Start, behaviour: dict[str, Any]
) -> None:
    site = site_with(**behaviour, destination={"confirm": "commitment-or-query"})
    site.ask()

    assert site.delivery.state is CONFIRMED


def test_archive_without_storage_commitment_leaves_the_delivery_accepted_and_says_so(
    site_with: Start,
) -> None:
    site = site_with(offers=False)
    site.ask()

    assert site.delivery.state is DeliveryState.ACCEPTED
    assert site.summary().reason == (
        "archive: not proven yet: archive does not offer storage commitment"
    )
    assert site.delivery.proof_due_at is not None


def test_request_is_shown_with_its_destination_until_when_it_is_waited_for(
    site_with: Start,
) -> None:
    site = site_with(way="never")
    site.ask()

    with site.node.database.reading() as session:
        study = session.scalars(select(Study)).one()
        record = reading.study_record(session, study)
        tables = list(study_record_tables({**record, "analyses": []}))
    (shown,) = (one for one in tables if one.title == "Storage commitment")
    destination, transaction, _, ending = (next(iter(one.cells)) for one in shown.columns)
    assert destination == "archive"
    assert transaction == requests(site)[0].transaction_uid
    assert str(ending).startswith("answer expected until 2")


def test_archive_that_takes_no_request_now_is_asked_again(site_with: Start) -> None:
    site = site_with(answers=[0x0110], way="same association")
    site.ask()
    waiting = site.delivery.reason
    wait_for(lambda: is_committed(site), seconds=60, what="the delivery is committed")

    assert waiting == "not proven yet: answered N-ACTION with 0x0110"
    assert [bool(one.ending) for one in requests(site)] == [True, True]


def test_delivery_without_any_object_is_committed_without_a_question(site_with: Start) -> None:
    site = site_with()
    with site.node.database.writing() as session:
        session.execute(delete(DeliveryOutcome))
    site.ask()

    assert site.delivery.state is COMMITTED
    assert not requests(site)


def test_archive_that_never_commits_is_asked_by_query_in_the_end(site_with: Start) -> None:
    destination = {"confirm": "commitment-or-query", "commitment_seconds": 0.001}
    site = site_with(way="never", destination=destination)
    site.ask_until(CONFIRMED)

    assert len(requests(site)) == 3


def names_another_transaction(said: Dataset) -> None:
    said.TransactionUID = "1.2.3"


def names_other_objects(said: Dataset) -> None:
    for item in said.ReferencedSOPSequence:
        item.ReferencedSOPInstanceUID += ".1"


def names_other_classes(said: Dataset) -> None:
    for item in said.ReferencedSOPSequence:
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


def lacks_a_transaction(said: Dataset) -> None:
    del said.TransactionUID


@pytest.mark.parametrize(
    "change",
    [names_another_transaction, names_other_objects, names_other_classes, lacks_a_transaction],
)
def test_report_on_what_was_not_asked_is_ignored_with_a_line(
    site_with: Start, log_lines: list[Any], change: Callable[[Dataset], None]
) -> None:
    site = site_with(way="same association", change=change)
    site.ask()
    site.prover.tick()

    assert site.delivery.state is DeliveryState.ACCEPTED
    assert site.outcomes() == {"accepted"}
    assert [one["event"] for one in log_lines].count("report_ignored") == 1
    assert not list(Reports(site.reception.spool.root).waiting())


def test_report_counts_for_no_object_of_the_delivery_that_its_transaction_did_not_name(
    site_with: Start,
) -> None:
    site = site_with(way="same association")
    site.ask()
    (request,) = requests(site)
    asked, *others = json.loads(request.objects)
    assert others
    with site.node.database.writing() as session:
        session.execute(update(CommitmentRequest).values(objects=json.dumps([asked])))
    site.prover.tick()

    outcomes = {row.result_object_id: row.outcome for row in site.reception.rows(DeliveryOutcome)}
    assert outcomes == {asked: "committed", **dict.fromkeys(others, "accepted")}
    assert site.delivery.state is DeliveryState.ACCEPTED


REASONS = {
    0x0110: "processing failure",
    0x0122: "SOP Class not supported",
    0x0131: "transaction UID used before",
    0x0213: "resource limitation",
    0x7777: "failure",
}


@pytest.mark.parametrize(
    "reason",
    [pytest.param(one, marks=() if one == 0x0213 else pytest.mark.long) for one in REASONS],
)
def test_reason_for_which_nothing_is_committed_is_named(site_with: Start, reason: int) -> None:
    def fails(said: Dataset) -> None:
        said.FailedSOPSequence, said.ReferencedSOPSequence = said.ReferencedSOPSequence, []
        for item in said.FailedSOPSequence:
            item.FailureReason = reason

    # With waits as shipped: the tick asks again at once if the next request is due.
    site = site_with(way="same association", change=fails, destination={"retry": RetrySettings()})
    site.ask()
    site.prover.tick()

    assert site.delivery.state is DeliveryState.ACCEPTED
    assert site.delivery.proof_due_at is not None
    assert site.delivery.reason == (
        f"not proven yet: 3 objects not committed: {REASONS[reason]} (0x{reason:04X})"
    )


def test_several_reasons_are_named_together(site_with: Start) -> None:
    def fails(said: Dataset) -> None:
        said.FailedSOPSequence, said.ReferencedSOPSequence = said.ReferencedSOPSequence, []
        for item, reason in zip(said.FailedSOPSequence, (0x0213, 0x0112, 0x0110), strict=True):
            item.FailureReason = reason

    site = site_with(way="same association", change=fails)
    site.ask()
    site.prover.tick()

    assert site.delivery.reason == (
        "not proven yet: 2 objects not committed: processing failure (0x0110), resource "
        "limitation (0x0213); 1 are not held there"
    )


STRANGERS: dict[str, dict[str, Any]] = {
    "another title": {"calling": "STRANGER"},
    "another network": {"destination": {"commitment_networks": ("10.0.0.0/8",)}},
}


@pytest.mark.parametrize("behaviour", STRANGERS.values(), ids=STRANGERS)
def test_nobody_else_reports_on_a_transaction(site_with: Start, behaviour: dict[str, Any]) -> None:
    site = site_with(**behaviour)
    site.ask()
    has_replied(site)
    site.prover.tick()

    assert site.archive.replies == [None]  # type: ignore[attr-defined]
    assert site.delivery.state is DeliveryState.ACCEPTED


def test_second_report_on_a_transaction_changes_nothing(
    site_with: Start, log_lines: list[Any]
) -> None:
    site = site_with(way="same association")
    site.ask()
    site.prover.tick()
    archive = site.archive
    assert isinstance(archive, CommittingArchive)
    archive.held.clear()
    archive.report(archive.report_on(archive.requests[0]), "MAMMOCLIP")
    site.prover.tick()

    assert site.delivery.state is COMMITTED
    assert [one["event"] for one in log_lines].count("report_ignored") == 1


def test_report_that_was_answered_survives_a_kill_before_it_is_read(site_with: Start) -> None:
    site = site_with(way="same association")
    site.ask()  # and nothing after the report was answered

    other = Proving(site.node, site.reception, site.archive)
    other.prover.tick()

    assert site.delivery.state is COMMITTED
