"""A node that is killed between any two steps of a proof loses nothing, and asks again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from committing_archive import CommittingArchive
from ports import free_port
from proving_site import Proving, proving_site, stop_beside
from services import wait_for
from sqlalchemy import update
from sqlalchemy.orm import Session
from unit.dicom_node.node_factory import Reception

from dicom_node.proof.prover import Prover
from dicom_node.spool.messages.reports import Reports
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery, DeliveryOutcome
from worker.runtime import Runtime


class Killed(BaseException):
    """The process is gone; nothing in it may catch this."""


class MortalDatabase:
    """A ledger whose process is killed before or after one of its transactions commits."""

    def __init__(self, database: Any, writes: int, is_committed: bool) -> None:
        self._database, self._left, self._is_committed = database, writes, is_committed

    def reading(self) -> Any:
        return self._database.reading()

    @contextmanager
    def writing(self) -> Iterator[Session]:
        self._left -= 1
        with self._database.writing() as session:
            yield session
            if not self._left and not self._is_committed:
                raise Killed
        if not self._left:
            raise Killed


@pytest.mark.parametrize("is_committed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("confirm", ["query", "commitment"])
def test_node_killed_at_any_transaction_proves_the_delivery_when_it_is_back(
    runtime_with: Callable[..., Runtime], reception: Reception, confirm: str, is_committed: bool
) -> None:
    archive = CommittingArchive(way="same association", node_port=free_port())
    site = proving_site(runtime_with, reception, archive.start(), confirm=confirm)
    (destination,) = site.node.settings.destinations
    kills = 0
    for writes in range(1, 20):
        with site.node.database.writing() as session:
            session.execute(update(Delivery).values(state=DeliveryState.DUE, proof_due_at=None))
            session.execute(update(DeliveryOutcome).values(outcome="accepted"))
        reception_is_whole(site)
        mortal: Any = MortalDatabase(site.node.database, writes, is_committed)
        prover = Prover(site.node.settings, mortal, Reports(reception.spool.root))
        try:
            prover.ask(destination)
            prover.tick()
        except Killed:
            kills += 1
        was_killed = mortal._left <= 0
        prove_after_a_while(site)
        if not was_killed:
            break
    stop_beside([archive])

    assert kills >= 2
    assert len(set(archive.stored)) == 3


def reception_is_whole(site: Proving) -> None:
    site.deliver()
    assert site.delivery.state is DeliveryState.ACCEPTED


def prove_after_a_while(site: Proving) -> None:
    """Let the time pass after which a lost question is asked again, and prove the delivery."""
    past = datetime(2026, 1, 1, tzinfo=UTC)

    def is_proven() -> bool:
        with site.node.database.writing() as session:
            lost = Delivery.proof_due_at.is_not(None)
            session.execute(update(Delivery).where(lost).values(proof_due_at=past))
        site.ask()
        site.prover.tick()
        return site.delivery.state in {DeliveryState.CONFIRMED, DeliveryState.COMMITTED}

    wait_for(is_proven, seconds=60, what="the delivery is proven")
