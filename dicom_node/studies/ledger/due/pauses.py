"""What an operator has paused, and what must not begin at present for that or another reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.destinations.circuits import count_anew
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.reached import Unreached
from dicom_node.studies.ledger.site_tables import Pause
from dicom_node.studies.ledger.states import WAITING
from dicom_node.studies.ledger.tables import Analysis, Delivery


class Paused(StrEnum):
    """What can be paused; receiving goes on in any case."""

    NODE = "node"
    """Nothing is handed to workers."""
    WORKER = "worker"
    """No analysis is begun; results are delivered."""
    RESULTS = "results"
    """Studies are analysed, and their results are held: nothing is sent anywhere."""
    SENDER = "sender"
    """No study of this AE title is analysed."""
    DESTINATION = "destination"
    """Nothing is sent there."""


NAMED: Final = frozenset({Paused.SENDER, Paused.DESTINATION})
"""What is paused by a name: an AE title, or the name of a destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseFacts:
    """One pause.

    Attributes
    ----------
    name : AE title of a sender or name of a destination; else empty
    paused_by : account of the operating system
    """

    kind: Paused
    name: str
    reason: str
    paused_by: str
    since: datetime

    @property
    def subject(self) -> str:
        """Return what is paused, for example ``sender ROOM1``."""
        return f"{self.kind.value} {self.name}".strip()

    def in_words(self) -> str:
        """Say what is paused, by whom, since when and why."""
        since = self.since.isoformat(timespec="seconds")
        why = f": {self.reason}" if self.reason else ""
        return f"{self.subject} is paused by {self.paused_by} since {since}{why}"


_REACHED: Final = Unreached()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """What must not begin now.

    Attributes
    ----------
    is_off_peak : bool
        Whether work of the priority off-peak may begin.
    destinations : names of those in the settings; None if they are not known
    unreached : files that are not reached from here
    """

    pauses: tuple[PauseFacts, ...] = ()
    is_off_peak: bool = True
    destinations: frozenset[str] | None = None
    unreached: Unreached = _REACHED

    def on(self, kind: Paused, name: str = "") -> PauseFacts | None:
        """Return the pause of this, or None."""
        return next((one for one in self.pauses if (one.kind, one.name) == (kind, name)), None)

    def stop(self, table: type[Analysis | Delivery]) -> PauseFacts | None:
        """Return the pause that stops all analyses or all deliveries, or None."""
        return self.on(Paused.NODE) or self.on(
            Paused.WORKER if table is Analysis else Paused.RESULTS
        )

    def withheld(self, destination: str) -> str:
        """Say why nothing is sent to a destination, which holds its deliveries; else empty."""
        paused = self.stop(Delivery) or self.on(Paused.DESTINATION, destination)
        if paused is not None:
            return paused.in_words()
        if self.destinations is None or destination in self.destinations:
            return ""
        return (
            f"destination {destination} is not in the settings: enter it there again, or see "
            "'mammoclip-node move-deliveries' and 'drop-deliveries'"
        )

    @property
    def senders(self) -> list[str]:
        """Return the AE titles that are paused."""
        return [one.name for one in self.pauses if one.kind is Paused.SENDER]


NOTHING_HELD: Final = Holds()


def pauses(session: Session) -> tuple[PauseFacts, ...]:
    """List what is paused, the longest first."""
    return tuple(
        PauseFacts(
            kind=Paused(row.kind),
            name=row.name,
            reason=row.reason,
            paused_by=row.paused_by,
            since=row.since,
        )
        for row in session.scalars(select(Pause).order_by(Pause.since, Pause.id))
    )


def pause(
    session: Session, kind: Paused, name: str, *, reason: str, paused_by: str, at: datetime
) -> None:
    """Pause something; if it is paused, take over the new reason and leave the time."""
    for row in _held(session, kind, name):
        row.reason, row.paused_by = reason, paused_by
        return
    session.add(Pause(kind=kind.value, name=name, reason=reason, paused_by=paused_by, since=at))


def resume(session: Session, kind: Paused, name: str, *, at: datetime) -> bool:
    """End a pause; return False if there was none.

    What it kept from being sent has all of its time again.
    """
    rows = list(_held(session, kind, name))
    for row in rows:
        session.delete(row)
    if rows and kind is Paused.DESTINATION:
        count_anew(session, [name], at=at)
    elif rows and kind in {Paused.NODE, Paused.RESULTS}:
        # By the states of an index: by one of them a database reads all that was ever delivered.
        kept = select(Delivery.destination).where(in_states(Delivery, *WAITING)).distinct()
        count_anew(session, session.scalars(kept).all(), at=at)
    return bool(rows)


def _held(session: Session, kind: Paused, name: str) -> Iterable[Pause]:
    query = select(Pause).where(Pause.kind == kind.value, Pause.name == name)
    return session.scalars(query.with_for_update()).all()
