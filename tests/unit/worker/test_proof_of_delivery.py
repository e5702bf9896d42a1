"""What an archive has accepted is asked for; what it does not keep is sent again, and told."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from proving_archive import ProvingArchive, answer
from proving_site import SOON, Proving, proving_site, stop_beside
from pydicom.dataset import Dataset
from services import wait_for
from sqlalchemy import update
from thread_shortage import ThreadShortage
from unit.dicom_node.node_factory import PATIENT_WORDS, Reception

from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.destinations.circuits import note_failure
from dicom_node.studies.ledger.due.pauses import Paused, pause
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject, Study
from worker.runtime import Runtime


@pytest.fixture
def proving_at(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> Iterator[Callable[..., Proving]]:
    archives: list[ProvingArchive] = []

    def start(archive: ProvingArchive, **changes: Any) -> Proving:
        archives.append(archive.start())
        return proving_site(runtime_with, reception, archive, **changes)

    yield start
    stop_beside(archives)


def test_archive_that_shows_what_it_accepted_confirms_the_delivery(
    proving_at: Callable[..., Proving], log_lines: list[Any]
) -> None:
    site = proving_at(ProvingArchive())
    site.deliver()
    site.ask()

    assert site.delivery.state is DeliveryState.CONFIRMED
    assert site.outcomes() == {"confirmed"}
    assert (site.summary().condition, site.summary().proof) == ("delivered", "confirmed")
    assert {str(one.SOPInstanceUID) for one in site.archive.asked} == {
        row.sop_instance_uid for row in site.reception.rows(ResultObject)
    }
    assert "delivery_confirmed" in [line["event"] for line in log_lines]
    assert not [word for word in PATIENT_WORDS if word in str(log_lines)]


def test_archive_that_is_to_prove_nothing_is_not_asked(proving_at: Callable[..., Proving]) -> None:
    site = proving_at(ProvingArchive(), confirm="none")
    site.deliver()
    site.ask()

    assert site.delivery.state is DeliveryState.ACCEPTED
    assert not site.archive.asked


def test_archive_that_keeps_nothing_is_found_out_and_named(
    proving_at: Callable[..., Proving], log_lines: list[Any]
) -> None:
    site = proving_at(ProvingArchive(keeps=False), confirm_within_seconds=0.001)
    for _ in range(3):
        site.deliver()
        site.ask_until(DeliveryState.DUE, DeliveryState.REFUSED)
    uids = [row.sop_instance_uid for row in site.reception.rows(ResultObject)]

    assert site.delivery.state is DeliveryState.REFUSED
    assert site.archive.stored == uids * 3
    assert site.outcomes() == {"missing"}
    assert site.summary().condition == "refused"
    assert site.summary().reason == (
        "archive: not-kept: the destination answered with success, and 3 of 3 objects were not "
        "found there by C-FIND, also after it was sent 3 times"
    )
    warnings = [line for line in log_lines if line["event"] == "objects_not_kept"]
    assert [(one["reason"], one["state"]) for one in warnings] == [
        ("not-kept", "due"),
        ("not-kept", "due"),
        ("not-kept", "refused"),
    ]


def in_another_study(_: ProvingArchive, asked: Dataset) -> Iterator[tuple[int, Dataset | None]]:
    found = answer(str(asked.SOPInstanceUID))
    found.StudyInstanceUID = "9.9"
    yield 0xFF00, found


def test_archive_that_puts_results_into_another_study_is_named(
    proving_at: Callable[..., Proving],
) -> None:
    site = proving_at(ProvingArchive(find=in_another_study), confirm_within_seconds=0.001)
    for _ in range(3):
        site.deliver()
        site.ask_until(DeliveryState.DUE, DeliveryState.REFUSED)

    assert site.delivery.state is DeliveryState.REFUSED
    assert "by C-FIND (3 are in another study there), also after" in site.delivery.reason


def test_archive_that_loses_one_object_is_sent_that_one_again(
    proving_at: Callable[..., Proving],
) -> None:
    site = proving_at(ProvingArchive(), confirm_within_seconds=0.001)
    site.deliver()
    lost = next(iter(site.archive.held))
    del site.archive.held[lost]
    site.ask_until(DeliveryState.DUE)
    del site.archive.stored[:]
    site.deliver()
    site.ask()

    assert site.archive.stored == [lost]
    assert site.delivery.state is DeliveryState.CONFIRMED


def test_archive_that_shows_later_what_it_accepted_is_sent_nothing_again(
    proving_at: Callable[..., Proving],
) -> None:
    site = proving_at(ProvingArchive())
    site.deliver()
    held, site.archive.held = site.archive.held, {}
    site.ask()
    waiting = site.summary()
    site.archive.held = held
    site.ask_until(DeliveryState.CONFIRMED)

    assert waiting.condition == "delivered"
    assert waiting.reason == "archive: 3 of 3 objects were not found there by C-FIND yet"
    assert len(site.archive.stored) == 3


def test_archive_that_cannot_be_asked_is_asked_again_and_never_sent_to_again(
    proving_at: Callable[..., Proving], log_lines: list[Any]
) -> None:
    site = proving_at(
        ProvingArchive(finds=False),
        retry=RetrySettings(first_seconds=0.001, longest_seconds=0.01, expire_seconds=3),
        confirm_within_seconds=0.001,
    )
    site.deliver()

    def is_given_up() -> bool:
        site.ask()
        return site.delivery.proof_due_at is None

    wait_for(is_given_up, seconds=60, what="nobody asks any more")
    assert site.delivery.state is DeliveryState.ACCEPTED
    assert site.delivery.reason == "never proven: archive does not offer C-FIND"
    assert len(site.archive.stored) == 3
    events = [line["event"] for line in log_lines if line["event"].startswith("proof_")]
    assert events == ["proof_postponed", "proof_given_up"]

    site.change_destination(confirm="none")
    site.prover.tick()
    assert (site.delivery.state, site.delivery.reason) == (DeliveryState.ACCEPTED, "")


def test_question_is_not_given_up_while_the_archive_is_down(
    proving_at: Callable[..., Proving],
) -> None:
    retry = SOON.model_copy(update={"expire_seconds": 0.001, "breaker_failures": 1})
    site = proving_at(ProvingArchive(finds=False), retry=retry)
    site.deliver()
    with site.node.database.writing() as session:
        session.execute(update(Delivery).values(proof_attempts=100))
        at = database_time(session)
        note_failure(session, "archive", reason="it is full", policy=retry, at=at)

    site.ask()

    assert site.delivery.proof_due_at is not None
    assert site.delivery.reason == "not proven yet: archive does not offer C-FIND"


@pytest.mark.parametrize("archive", [{"keeps": False}, {"finds": False}])
def test_nothing_is_sent_again_or_given_up_while_the_clock_is_doubted(
    proving_at: Callable[..., Proving], archive: dict[str, bool]
) -> None:
    site = proving_at(
        ProvingArchive(**archive),
        retry=RetrySettings(first_seconds=0.001, longest_seconds=0.002, expire_seconds=0.1),
        confirm_within_seconds=0.001,
    )
    site.deliver()
    site.prover._believes = lambda _: False
    asked = 0
    while asked < 15:
        site.ask()
        asked = site.delivery.proof_attempts

    assert site.delivery.state is DeliveryState.ACCEPTED
    assert site.delivery.proof_due_at is not None


def test_archive_is_asked_once_there_is_a_thread_and_the_prover_can_stop_before(
    proving_at: Callable[..., Proving], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = proving_at(ProvingArchive())
    site.deliver()
    shortage = ThreadShortage(monkeypatch, "proof")
    with pytest.raises(RuntimeError):
        site.prover.tick()
    shortage.is_on = False
    site.change_destination(confirm="query")

    confirmed_by_ticks(site)


def test_nobody_is_asked_while_the_destination_is_paused(
    proving_at: Callable[..., Proving],
) -> None:
    site = proving_at(ProvingArchive())
    site.deliver()
    with site.node.database.writing() as session:
        at = database_time(session)
        pause(session, Paused.DESTINATION, "archive", reason="", paused_by="eve", at=at)
    site.prover.tick()
    site.prover.stop()

    assert not site.archive.asked


def test_what_was_accepted_before_the_archive_was_to_prove_anything_is_asked_for(
    proving_at: Callable[..., Proving], log_lines: list[Any]
) -> None:
    site = proving_at(ProvingArchive(), confirm="none")
    site.deliver()
    site.prover.tick()
    assert not site.archive.asked

    site.change_destination(confirm="query")
    confirmed_by_ticks(site)

    told = [one for one in log_lines if one["event"] == "former_deliveries_asked"]
    assert [one["count"] for one in told] == [1]


def test_what_was_not_to_be_proven_for_a_while_is_asked_for_again(
    proving_at: Callable[..., Proving],
) -> None:
    site = proving_at(ProvingArchive())
    site.deliver()
    held, site.archive.held = site.archive.held, {}
    site.ask()
    site.change_destination(confirm="none")
    site.prover.tick()
    assert (site.delivery.proof_due_at, site.delivery.proof_attempts) == (None, 0)

    site.archive.held = held
    site.change_destination(confirm="query")
    confirmed_by_ticks(site)


def test_former_delivery_is_asked_for_again_after_the_archive_was_away(
    proving_at: Callable[..., Proving],
) -> None:
    """Though it was accepted longer ago than anything is retried."""
    site = proving_at(ProvingArchive(finds=False), confirm="none")
    site.deliver()
    long_ago = datetime.now(UTC) - timedelta(days=100)
    with site.node.database.writing() as session:
        session.execute(update(Delivery).values(finished_at=long_ago))

    site.change_destination(confirm="query")
    site.prover.tick()
    wait_for(lambda: site.delivery.proof_attempts, seconds=30, what="it is asked for")
    site.prover.stop()

    assert site.delivery.proof_due_at is not None
    assert site.delivery.reason == "not proven yet: archive does not offer C-FIND"


@pytest.mark.parametrize("gone", ["superseded", "removed"])
def test_nobody_asks_for_what_could_not_be_sent_again(
    proving_at: Callable[..., Proving], gone: str
) -> None:
    site = proving_at(ProvingArchive(), confirm="none")
    site.deliver()
    with site.node.database.writing() as session:
        if gone == "removed":
            session.execute(update(Study).values(removed_at=datetime.now(UTC)))
        else:
            session.execute(update(Analysis).values(state=AnalysisState.SUPERSEDED))

    site.change_destination(confirm="query")
    for _ in range(3):
        site.prover.tick()
    site.prover.stop()

    assert not site.archive.asked
    assert site.delivery.proof_due_at is None


def confirmed_by_ticks(site: Proving) -> None:
    def is_confirmed() -> bool:
        site.prover.tick()
        return site.delivery.state is DeliveryState.CONFIRMED

    wait_for(is_confirmed, seconds=30, what="the delivery is confirmed")
