"""What follows from a destination's word on a delivery: proven, asked again, or sent again."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.orm import Session

from dicom_node.send.retry_policy import next_attempt
from dicom_node.settings.ways_out.destinations import ArchiveDestination
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import tried_since
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.proof.proofs import (
    NEVER_PROVEN,
    NOT_KEPT,
    NOT_PROVEN_YET,
    ProofClaim,
    ask_again,
    is_time_to_send_again,
    miss,
    record_proof,
)
from dicom_node.studies.ledger.states import DeliveryState

log = structlog.get_logger("dicom_node.proof")

_MOST_LATE_ATTEMPTS: Final = 10
"""How often what was accepted longer ago than retry.expire_seconds is asked for."""


@dataclass(slots=True, kw_only=True)
class Word:
    """What a destination has said of one delivery.

    Attributes
    ----------
    state : CONFIRMED or COMMITTED
        What the delivery is once everything is proven.
    by : the service in the standard's words
    proven : id of a result object to the words for its proof
    missing : ids of the result objects that it does not hold
    trouble : why it has said no more; empty if it has
    elsewhere : how many of the missing ones it shows in another study
    """

    state: DeliveryState
    by: str
    proven: dict[int, str] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    trouble: str = ""
    elsewhere: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Records in the ledger what follows from the words of one destination.

    Attributes
    ----------
    believes : whether what is old by the ledger's clock is old
    """

    destination: ArchiveDestination
    retry: RetrySettings
    database: Database
    generator: random.Random = field(default_factory=random.Random)
    believes: Callable[[datetime], bool] = lambda _: True

    def settle(self, held: ProofClaim, word: Word) -> None:
        """Record a word, and have the delivery asked about again or sent again where it lacks."""
        with self.database.writing() as session:
            if record_proof(session, held, word.state, word.proven, at=database_time(session)):
                is_committed = word.state is DeliveryState.COMMITTED
                log.info(
                    "delivery_committed" if is_committed else "delivery_confirmed",
                    delivery=held.delivery_id,
                    destination=self.destination.name,
                    count=len(held.objects),
                )
                return
        if word.missing and not word.trouble:
            self._judge_missing(held, word)
        else:
            self._ask_again(held, word.trouble or f"no answer about every object by {word.by}")

    def _judge_missing(self, held: ProofClaim, word: Word) -> None:
        within = self.destination.confirm_within_seconds
        words = (
            f"{len(word.missing)} of {len(held.objects)} objects were not found there by {word.by}"
        )
        if word.elsewhere:
            words += f" ({word.elsewhere} are in another study there)"
        with self.database.writing() as session:
            at = database_time(session)
            if not (
                self.believes(at) and is_time_to_send_again(held, within_seconds=within, at=at)
            ):
                patience_ends = held.accepted_at + timedelta(seconds=within)
                due_at = self._next(session, held, at) or at
                if at < patience_ends:
                    due_at = min(due_at, patience_ends)
                ask_again(session, held, reason=f"{words} yet", due_at=due_at)
                return
            state = miss(session, held, word.missing, words=words, at=at)
        if state is not None:
            log.warning(
                "objects_not_kept",
                delivery=held.delivery_id,
                destination=self.destination.name,
                count=len(word.missing),
                reason=NOT_KEPT,
                state=state.value,
                detail=words,
            )

    def _ask_again(self, held: ProofClaim, trouble: str) -> None:
        with self.database.writing() as session:
            due_at = self._next(session, held, database_time(session))
            reason = f"{NOT_PROVEN_YET}: {trouble}"
            if due_at is None:
                reason = f"{NEVER_PROVEN}: {trouble}"
            ask_again(session, held, reason=reason, due_at=due_at)
        if due_at is None or held.attempt == 1:
            log.warning(
                "proof_given_up" if due_at is None else "proof_postponed",
                delivery=held.delivery_id,
                destination=self.destination.name,
                reason=trouble,
            )

    def _next(self, session: Session, held: ProofClaim, at: datetime) -> datetime | None:
        since = tried_since(session, self.destination.name, held.accepted_at)
        # What was accepted long before anybody asked for it is asked for some times all the same.
        is_young = held.attempt <= _MOST_LATE_ATTEMPTS or not self.believes(at)
        if since is not None and is_young:
            since = max(since, at - timedelta(seconds=self.retry.expire_seconds / 2))
        return next_attempt(
            self.retry,
            attempts=held.attempt,
            since=since,
            at=at,
            generator=self.generator,
        )
