"""Each destination at a glance: whether it takes results, since when not and why, how many wait."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.destinations.circuits import Circuit, CircuitFacts
from dicom_node.studies.ledger.destinations.waits import Waits
from dicom_node.studies.ledger.due.pauses import Paused
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.queries.unproven import owed_elsewhere
from dicom_node.studies.ledger.states import TAKEN, WAITING, DeliveryState
from dicom_node.studies.ledger.tables import Delivery

_WORD: Final = {
    Circuit.CLOSED: "failing",
    Circuit.OPEN: "down",
    Circuit.HALF_OPEN: "trying",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSummary:
    """One line of ``mammoclip-node destinations``.

    Attributes
    ----------
    condition : one word
        ready; failing (its last deliveries failed); down (it is asked whether it answers); trying
        (it answers again, and one delivery is tried); held (paused); removed (not in the settings);
        dry (nothing is sent there).
    since : when that began, if it is known
    waiting : number of deliveries that are due
    sending : number of deliveries that are under way
    held : number of deliveries that are made and validated, and not sent
    delivered_at : when it last took all of a delivery
    asked_at : when it is asked next whether it answers, if it is down
    reason : why it is not ready, and what it has not proven if it is removed; else empty
    """

    name: str
    condition: str
    since: datetime | None
    waiting: int
    sending: int
    held: int
    delivered_at: datetime | None
    asked_at: datetime | None
    reason: str


def destination_summaries(
    session: Session,
    destinations: tuple[str, ...],
    *,
    known: frozenset[str],
    dry: Collection[str] = (),
) -> list[DestinationSummary]:
    """Summarise the destinations of the settings, then those that only deliveries name.

    Parameters
    ----------
    destinations : names of those in the settings, which are listed first
    known : names to which the node may send, its own for canary studies among them
    dry : names of those to which nothing is sent
    """
    waits = Waits.read(session, destinations=known)
    counts = _counts(session, known)
    others = sorted({name for name, _ in counts} - set(destinations))
    return [
        _summary(session, name, waits, counts, is_dry=name in dry)
        for name in (*destinations, *others)
    ]


def causes(session: Session, destinations: frozenset[str]) -> list[str]:
    """Say in one sentence for each destination that is down or removed why deliveries wait.

    Parameters
    ----------
    destinations : names of those in the settings
    """
    waits = Waits.read(session, destinations=destinations)
    counts = _counts(session, destinations)

    def waiting(name: str) -> str:
        count = counts.get((name, DeliveryState.DUE), 0) + counts.get((name, DeliveryState.HELD), 0)
        owed = _owed(name, counts)
        waits_for_it = f"{count} {'delivery waits' if count == 1 else 'deliveries wait'} for it."
        return " ".join([waits_for_it] * bool(count or not owed) + [f"{owed}."] * bool(owed))

    down = [
        f"{known.in_words()}. {waiting(name)}"
        for name, known in waits.circuits.items()
        if known.is_down and not waits.holds.withheld(name)
    ]
    return down + [
        f"{waits.holds.withheld(name)}. {waiting(name)}"
        for name in sorted({name for name, _ in counts} - destinations)
    ]


def removed_destinations(session: Session, destinations: frozenset[str]) -> dict[str, int]:
    """Count what waits for destinations that are not in the settings, or for their proof."""
    waiting: Counter[str] = Counter()
    for (name, state), count in sorted(_counts(session, destinations).items()):
        if name not in destinations and state is not DeliveryState.SENDING:
            waiting[name] += count
    return dict(waiting)


def _counts(session: Session, destinations: frozenset[str]) -> dict[tuple[str, DeliveryState], int]:
    """Count what waits, and as accepted what removed destinations have not proven."""
    query = select(Delivery.destination, Delivery.state, func.count(Delivery.id))
    rows = session.execute(
        query.where(in_states(Delivery, *WAITING)).group_by(Delivery.destination, Delivery.state)
    )
    counts = {(name, state): count for name, state, count in rows}
    owed = owed_elsewhere(session, destinations)
    return counts | {(name, DeliveryState.ACCEPTED): count for name, count in owed.items()}


def _owed(name: str, counts: dict[tuple[str, DeliveryState], int]) -> str:
    """Say what a removed destination has not proven, which nobody asks it for; empty if nothing."""
    count = counts.get((name, DeliveryState.ACCEPTED), 0)
    if not count:
        return ""
    are = "delivery that it accepted is" if count == 1 else "deliveries that it accepted are"
    return f"{count} {are} not proven, and the files are kept"


def _summary(
    session: Session,
    name: str,
    waits: Waits,
    counts: dict[tuple[str, DeliveryState], int],
    *,
    is_dry: bool,
) -> DestinationSummary:
    delivered = select(func.max(Delivery.finished_at)).where(
        in_states(Delivery, *TAKEN), Delivery.destination == name
    )
    condition, since, reason = _condition(name, waits, is_dry=is_dry)
    owed = _owed(name, counts)
    known = waits.circuits.get(name)
    is_asked = known is not None and known.circuit is Circuit.OPEN
    return DestinationSummary(
        name=name,
        condition=condition,
        since=since,
        waiting=counts.get((name, DeliveryState.DUE), 0),
        sending=counts.get((name, DeliveryState.SENDING), 0),
        held=counts.get((name, DeliveryState.HELD), 0),
        delivered_at=session.scalar(delivered),
        asked_at=known.probe_at if known is not None and is_asked else None,
        reason=f"{reason}; {owed}" if owed else reason,
    )


def _condition(name: str, waits: Waits, *, is_dry: bool) -> tuple[str, datetime | None, str]:
    paused = waits.holds.stop(Delivery) or waits.holds.on(Paused.DESTINATION, name)
    known: CircuitFacts | None = waits.circuits.get(name)
    if paused is not None:
        also = "" if known is None else f"; it fails besides: {known.reason}"
        return "held", paused.since, f"{paused.in_words()}{also}"
    withheld = waits.holds.withheld(name)
    if withheld:
        return "removed", None, withheld
    if is_dry:
        return "dry", None, "everything is made and validated, and nothing is sent (dry = true)"
    if known is None:
        return "ready", None, ""
    return _WORD[known.circuit], known.failing_since, known.reason
