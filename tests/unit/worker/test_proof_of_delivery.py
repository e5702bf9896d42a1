"""What an archive has accepted is asked for; what it does not keep is sent again, and told."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from proving_archive import ProvingArchive
from services import wait_for
from unit.dicom_node.node_factory import PATIENT_WORDS, Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.proof.prover import Prover
from dicom_node.settings.destinations import DicomDestination
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger import reading
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery, DeliveryOutcome, ResultObject
from worker.delivery import deliver_results
from worker.runtime import Runtime

SOON = RetrySettings(first_seconds=0.001, longest_seconds=0.01)


class Proving:
    """A worker that delivers to one archive, and the node's prover."""

    def __init__(self, node: Runtime, reception: Reception, archive: ProvingArchive) -> None:
        self.node, self.reception, self.archive = node, reception, archive
        self.prover = Prover(node.settings, node.database)

    @property
    def delivery(self) -> Delivery:
        (row,) = self.reception.rows(Delivery)
        assert isinstance(row, Delivery)
        return row

    def deliver(self) -> None:
        with self.node.leased(Delivery, 1) as taken:
            if taken is not None:
                deliver_results(self.node, *taken)

    def ask(self) -> None:
        (destination,) = self.node.settings.destinations
        self.prover.ask(destination)

    def ask_until(self, *states: DeliveryState) -> None:
        def reached() -> bool:
            self.ask()
            return self.delivery.state in states

        wait_for(reached, seconds=60, what=f"the delivery is {states}")

    def outcomes(self) -> set[str]:
        return {row.outcome for row in self.reception.rows(DeliveryOutcome)}

    def summary(self) -> reading.StudySummary:
        with self.node.database.reading() as session:
            (one,) = reading.summaries(session, limit=9)
        return one


@pytest.fixture
def proving_at(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> Iterator[Callable[..., Proving]]:
    archives: list[ProvingArchive] = []

    def start(archive: ProvingArchive, retry: RetrySettings = SOON, **changes: Any) -> Proving:
        archives.append(archive.start())
        values = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1"}
        values |= {"port": archive.port, "timeout_seconds": 5, "confirm": "query", **changes}
        node = runtime_with(destinations=(DicomDestination(**values),), retry=retry)
        reception.receive(shown_mammogram())
        run_analysis(node, due_analysis(reception))
        return Proving(node, reception, archive)

    yield start
    for archive in archives:
        archive.stop()


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


def test_nobody_is_asked_while_the_destination_is_paused(
    proving_at: Callable[..., Proving],
) -> None:
    from dicom_node.studies.ledger.locks import database_time
    from dicom_node.studies.ledger.pauses import Paused, pause

    site = proving_at(ProvingArchive())
    site.deliver()
    with site.node.database.writing() as session:
        at = database_time(session)
        pause(session, Paused.DESTINATION, "archive", reason="", paused_by="eve", at=at)
    site.prover.tick()
    site.prover.stop()

    assert not site.archive.asked
