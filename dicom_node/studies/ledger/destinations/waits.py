"""Says in words what a delivery that is due waits for: a person, its destination, or its time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.destinations.circuits import CircuitFacts, circuits
from dicom_node.studies.ledger.due.pauses import Holds, pauses
from dicom_node.studies.ledger.due.workers import QUEUE_OF_DELIVERIES, why_untaken
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.proof.proofs import NOT_PROVEN_YET, owes_proof
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery

HELD: Final = "held"
"""How a delivery reads that is due and that nobody may send."""

_SOON: Final = timedelta(seconds=30)
"""Time in which a worker that is free takes up what is due, several times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What deliveries wait for at one moment.

    Attributes
    ----------
    is_sending : whether any worker sends something now
    untaken : why the workers that run take nothing from a queue, by its name, as they say
    """

    holds: Holds
    circuits: dict[str, CircuitFacts]
    is_sending: bool
    now: datetime
    untaken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, session: Session, *, destinations: frozenset[str] | None = None) -> Self:
        """Read what is held and what is down.

        Parameters
        ----------
        destinations : names of those in the settings; None if they are not known
        """
        now = database_time(session)
        sending = select(Delivery.id).where(
            in_states(Delivery, DeliveryState.SENDING), Delivery.lease_expires_at >= now
        )
        return cls(
            holds=Holds(pauses=pauses(session), destinations=destinations),
            circuits=circuits(session, at=now),
            is_sending=session.scalar(sending.limit(1)) is not None,
            now=now,
            untaken=why_untaken(session),
        )

    def state_of(self, delivery: Delivery) -> str:
        """Return the state of a delivery, ``held`` if it is due and nobody may send it."""
        return HELD if self.held_because(delivery) else delivery.state.value

    def held_because(self, delivery: Delivery) -> str:
        """Say why nobody may send a delivery that is due; empty if that is not so."""
        if delivery.state is not DeliveryState.DUE:
            return ""
        return self.holds.withheld(delivery.destination)

    def cause_of(self, delivery: Delivery) -> str:
        """Say what a delivery that is due waits for besides its time; empty if for nothing.

        One that was accepted waits for the question whether the destination holds it.
        """
        if delivery.state is DeliveryState.ACCEPTED:
            return self._unasked(delivery)
        held = self.held_because(delivery)
        if held:
            return _joined(delivery.reason, held)
        known = self.circuits.get(delivery.destination)
        if delivery.state is DeliveryState.DUE and known is not None and known.is_down:
            # Why is the same for all that waits, and said of the destination.
            return "waits until the destination answers"
        return ""

    def reason_of(self, delivery: Delivery) -> str:
        """Say why a delivery is not sent or proven yet; empty if it will be presently."""
        if owes_proof(delivery):
            held = self.holds.withheld(delivery.destination)
            return self._unasked(delivery) or _joined(delivery.reason, held)
        if delivery.state is not DeliveryState.DUE:
            return self.cause_of(delivery) or delivery.reason
        return self.cause_of(delivery) or _joined(delivery.reason, self._until(delivery))

    def _unasked(self, delivery: Delivery) -> str:
        due_at = delivery.proof_due_at
        # What was asked for before has its reason.
        if delivery.reason or due_at is None or due_at > self.now - _SOON:
            return ""
        why = self.holds.withheld(delivery.destination) or "check that the node runs"
        return f"{NOT_PROVEN_YET}: nobody has asked for it, due since {_instant(due_at)}: {why}"

    def _until(self, delivery: Delivery) -> str:
        if delivery.due_at > self.now:
            return f"tried again at {_instant(delivery.due_at)}"
        if delivery.due_at > self.now - _SOON:
            return ""
        if untaken := self.untaken.get(QUEUE_OF_DELIVERIES, ""):
            return untaken
        since = f"due since {_instant(delivery.due_at)}"
        if self.is_sending:
            return f"{since}, behind others"
        return f"{since}, and no worker has taken it: check that one is running"


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
