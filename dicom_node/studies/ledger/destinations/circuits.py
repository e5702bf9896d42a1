"""The circuit breaker of each destination: what fails again and again is probed, not sent to.

A destination of which several deliveries in a row took nothing is down: its circuit is open, and
what waits for it is left as it is. Workers probe it at growing intervals. Once it answers, the
circuit is half open: one delivery is sent, which closes the circuit or opens it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.site_tables import DestinationState

_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when a circuit is closed that was never open."""


class Circuit(StrEnum):
    """Whether deliveries pass to a destination."""

    CLOSED = "closed"
    """They pass."""
    OPEN = "open"
    """They wait: it is down."""
    HALF_OPEN = "half_open"
    """One passes: it answers again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitFacts:
    """What is known of a destination that has failed.

    Attributes
    ----------
    failing_since : when it first took nothing
    is_probed : whether a worker asks it just now whether it answers
    """

    name: str
    circuit: Circuit
    failures: int
    reason: str
    failing_since: datetime | None
    probe_at: datetime
    is_probed: bool

    @property
    def is_down(self) -> bool:
        """Whether what is due waits for it to answer."""
        return self.circuit is not Circuit.CLOSED

    def may_be_probed(self, at: datetime) -> bool:
        """Return whether it is time to ask whether it answers."""
        return self.circuit is Circuit.OPEN and not self.is_probed and self.probe_at <= at

    def in_words(self) -> str:
        """Say since when it is down, why, and what follows."""
        since = "" if self.failing_since is None else f" since {_instant(self.failing_since)}"
        follows = (
            "It answers again: one delivery is tried, and the others follow"
            if self.circuit is Circuit.HALF_OPEN
            else f"It is asked again at {_instant(self.probe_at)}, and what waits for it is sent "
            f"when it answers; at once: mammoclip-node retry --destination {self.name}"
        )
        return f"destination {self.name} is down{since}: {self.reason.rstrip('.')}. {follows}"


def circuits(session: Session, *, at: datetime) -> dict[str, CircuitFacts]:
    """Return the destinations that fail, by name."""
    rows = session.scalars(select(DestinationState).order_by(DestinationState.name))
    return {row.name: _facts(row, at) for row in rows if row.failures}


def circuit_of(session: Session, name: str, *, at: datetime) -> CircuitFacts | None:
    """Return what is known of one destination; None if it works as far as is known."""
    query = select(DestinationState).where(DestinationState.name == name)
    row = session.scalars(query).first()
    return _facts(row, at) if row is not None and row.failures else None


def tried_since(session: Session, name: str, begun_at: datetime) -> datetime | None:
    """Return from when the time counts after which something for a destination is given up.

    What waited while the destination was down has all of its time again once that is over.

    Parameters
    ----------
    begun_at : when it was first to be done

    Returns
    -------
    datetime or None
        None while the destination is down: nothing is given up then.
    """
    query = select(DestinationState).where(DestinationState.name == name)
    row = session.scalars(query).first()
    if row is None:
        return begun_at
    return max(begun_at, row.since) if row.circuit == Circuit.CLOSED else None


def count_anew(session: Session, names: Iterable[str], *, at: datetime) -> None:
    """Give what waits for destinations all of its time again, as after a pause of them."""
    for name in sorted(names):
        row = _held(session, name, at)
        row.since = max(row.since, at)


def note_failure(
    session: Session, name: str, *, reason: str, policy: RetrySettings, at: datetime
) -> tuple[Circuit, bool]:
    """Record that a delivery failed of which the destination took nothing.

    Returns
    -------
    Circuit, bool
        The circuit from now on; whether this is news: the first failure, an opened circuit, or
        another reason after it was half open.
    """
    if not policy.breaker_failures:
        return Circuit.CLOSED, True
    row = _held(session, name, at)
    row.failures += 1
    is_news = row.failures == 1
    if row.circuit == Circuit.HALF_OPEN:
        is_news = row.reason != reason
        _open(row, policy, at, probes=row.probes + 1)
    elif row.circuit == Circuit.CLOSED and row.failures >= policy.breaker_failures:
        is_news = True
        row.since = at
        _open(row, policy, at, probes=0)
    row.reason = reason
    row.failing_since = row.failing_since or at
    return Circuit(row.circuit), is_news


def note_success(session: Session, name: str, *, at: datetime) -> bool:
    """Record that a destination took something; return whether it was down before."""
    # Nearly always there is nothing to record, and no lock is taken.
    if circuit_of(session, name, at=at) is None:
        return False
    row = _held(session, name, at)
    was_down = row.circuit != Circuit.CLOSED
    if was_down:
        row.since = at
    row.circuit, row.failures, row.probes = Circuit.CLOSED, 0, 0
    row.reason, row.failing_since = "", None
    row.prober, row.probe_expires_at = "", None
    return was_down


def passes(session: Session, name: str, *, at: datetime) -> Circuit:
    """Return the circuit of a destination; lock one that is not closed until the claim is made.

    Of two claims at once the second then sees what the first one sends.
    """
    known = circuit_of(session, name, at=at)
    if known is None or not known.is_down:
        return Circuit.CLOSED
    return Circuit(_held(session, name, at).circuit)


def take_probe(
    session: Session, name: str, *, holder: str, longest: timedelta, at: datetime
) -> bool:
    """Take it on to ask a destination whether it answers; False if it is not time, or taken.

    Parameters
    ----------
    longest : time after which another worker may ask, as when this one was killed
    """
    row = _held(session, name, at)
    if not _facts(row, at).may_be_probed(at):
        return False
    row.prober, row.probe_expires_at = holder, at + longest
    return True


def note_probe(
    session: Session,
    name: str,
    *,
    holder: str,
    problem: str | None,
    policy: RetrySettings,
    at: datetime,
) -> None:
    """Record whether a destination answered, unless somebody else asks it by now.

    Parameters
    ----------
    problem : why it is still down; None if it answered
    """
    row = _held(session, name, at)
    if row.prober != holder or row.circuit != Circuit.OPEN:
        return
    if problem is None:
        row.circuit, row.prober, row.probe_expires_at = Circuit.HALF_OPEN, "", None
        return
    row.reason = problem
    _open(row, policy, at, probes=row.probes + 1)


def give_up_probes(session: Session, holder: str) -> None:
    """Leave it to other workers to ask the destinations that this one was asking."""
    session.execute(
        update(DestinationState)
        .where(DestinationState.prober == holder)
        .values(prober="", probe_expires_at=None)
        .execution_options(synchronize_session=False)
    )


def try_now(session: Session, name: str, *, at: datetime) -> bool:
    """Let one delivery pass without asking first; return False if the destination is not down."""
    known = circuit_of(session, name, at=at)
    if known is None or not known.is_down:
        return False
    row = _held(session, name, at)
    if row.circuit == Circuit.CLOSED:
        return False
    # Whoever is asking it finds that it is no longer the one to say so.
    row.circuit, row.probes, row.prober, row.probe_expires_at = Circuit.HALF_OPEN, 0, "", None
    return True


def _held(session: Session, name: str, at: datetime) -> DestinationState:
    """Lock the row of a destination, the last of what a transaction locks; make it if need be."""
    query = select(DestinationState).where(DestinationState.name == name)
    query = query.with_for_update().execution_options(populate_existing=True)
    row = session.scalars(query).first()
    if row is None:
        # Of two that enter it at once, the second waits for the first and then finds its row.
        insert = _INSERT[session.get_bind().dialect.name]
        session.execute(
            insert(DestinationState)
            .values(
                name=name,
                circuit=Circuit.CLOSED.value,
                failures=0,
                reason="",
                since=_EVER,
                probes=0,
                probe_at=at,
                prober="",
            )
            .on_conflict_do_nothing(index_elements=["name"])
        )
        row = session.scalars(query).one()
    return row


def _open(row: DestinationState, policy: RetrySettings, at: datetime, *, probes: int) -> None:
    doubled = policy.first_probe_seconds * 2.0 ** min(probes, 30)
    row.circuit, row.probes = Circuit.OPEN, probes
    row.probe_at = at + timedelta(seconds=min(doubled, policy.longest_probe_seconds))
    row.prober, row.probe_expires_at = "", None


def _facts(row: DestinationState, at: datetime) -> CircuitFacts:
    return CircuitFacts(
        name=row.name,
        circuit=Circuit(row.circuit),
        failures=row.failures,
        reason=row.reason,
        failing_since=row.failing_since,
        probe_at=row.probe_at,
        is_probed=bool(row.prober)
        and row.probe_expires_at is not None
        and row.probe_expires_at > at,
    )


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
