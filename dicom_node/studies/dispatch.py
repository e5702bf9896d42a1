"""Sends Celery messages to the workers for due work, and again if the broker lost them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import chain, zip_longest
from typing import Final

import structlog
from sqlalchemy.orm import Session

from dicom_node.studies.broker import TASK_AND_QUEUE, Broker
from dicom_node.studies.clock_steps import ClockSteps
from dicom_node.studies.ledger import shadows
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations import circuits
from dicom_node.studies.ledger.destinations.circuits import Circuit, CircuitFacts
from dicom_node.studies.ledger.due import due_work, work
from dicom_node.studies.ledger.due.due_work import Work
from dicom_node.studies.ledger.due.pauses import Holds, PauseFacts, pauses
from dicom_node.studies.ledger.tables import Analysis, Delivery

log = structlog.get_logger("dicom_node.dispatch")

QUEUED: Final = 16
"""Messages of analyses, and of deliveries to each destination, that lie in the queue at most.

What is due later and matters more stands behind no more than these. The queue is filled up again
once a second at least: an analysis or a delivery takes a worker longer than 1/16 s.
"""


_SHADOWS: Final = 2
"""Messages about answers of further bundles at a time: a study may come any moment."""

_MOST_DISPATCHED: Final = 1000
"""With more dispatched work, a former version filled the queue: it sent all messages at once."""


class Dispatcher:
    """Keeps the broker in step with the ledger; a message may be lost or repeated.

    Parameters
    ----------
    redispatch_after : timedelta
        Time until a message is sent again for work that no worker has started, if the queue holds
        fewer messages than the ledger has waiting work.
    maximum_attempts : 1 or more
        Starts of an analysis before it counts as failed.
    expire_after : timedelta
        Age at which a delivery expires when its workers are killed again and again.
    clock : by default the time of the tick
        Time at which messages are sent, by the clock of the database.
    is_off_peak : by default always
        Whether off-peak work may begin at a time.
    destinations : names of those in the settings; by default any
        What is due for another one is held.
    clock_steps : by default none is looked for
        Looked at before leases are, which a step of the clock would end.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        *,
        redispatch_after: timedelta,
        maximum_attempts: int,
        expire_after: timedelta = work.EXPIRE_AFTER,
        clock: Callable[[], datetime] | None = None,
        is_off_peak: Callable[[datetime], bool] = lambda _: True,
        destinations: frozenset[str] | None = None,
        clock_steps: ClockSteps | None = None,
    ) -> None:
        self._database = database
        self._broker = broker
        self._redispatch_after = redispatch_after
        self._maximum_attempts = maximum_attempts
        self._expire_after = expire_after
        self._clock = clock
        self._is_off_peak = is_off_peak
        self._destinations = destinations
        self._clock_steps = clock_steps
        self._paused: tuple[PauseFacts, ...] = ()
        self._newest: tuple[int, int] | None = None

    def has_new_work(self) -> bool:
        """Return whether an analysis or a delivery was begun since workers were last notified.

        A look that costs next to nothing: between two ticks it finds what is new, so that a study
        whose analysis has ended waits for no tick.
        """
        with self._database.reading() as session:
            return due_work.newest(session) != self._newest

    def tick(self, at: datetime) -> None:
        """Recover work whose worker stopped responding, and notify the workers of due work.

        Raises
        ------
        BrokerDownError
            The broker accepted no messages; the next tick tries again.
        """
        if self._clock_steps is not None:
            self._clock_steps.look()
        self._recover(Analysis, at)
        self._recover(Delivery, at)
        self.notify(at)

    def notify(self, at: datetime) -> None:
        """Notify the workers of due work.

        Raises
        ------
        BrokerDownError
            As for `tick`.
        """
        # Before the work itself is read: what begins in between is found by the next look.
        with self._database.reading() as session:
            self._newest = due_work.newest(session)
        holds = self._holds(at)
        self._dispatch(Analysis, at, holds)
        self._dispatch(Delivery, at, holds)
        self._dispatch_shadows(at, holds)

    def _dispatch_shadows(self, at: datetime, holds: Holds) -> None:
        """Have answers of further bundles made while no study waits for its own.

        The messages are about the analyses beside them: a worker that finds one finished looks
        for what is due beside it.
        """
        if holds.stop(Analysis):
            return
        task, queue = TASK_AND_QUEUE[Analysis]
        with self._database.reading() as session:
            rows = shadows.untold_shadows(
                session, at=at, told_before=at - self._redispatch_after, limit=_SHADOWS
            )
        if not rows:
            return
        self._broker.notify(task, queue, [row.analysis_id for row in rows])
        with self._database.writing() as session:
            sent_at = at if self._clock is None else self._clock()
            shadows.note_told(session, [row.id for row in rows], at=sent_at)

    def _holds(self, at: datetime) -> Holds:
        with self._database.reading() as session:
            paused = pauses(session)
        for one in self._paused:
            if one not in paused:
                log.warning("resumed", kind=one.subject)
        for one in paused:
            if one not in self._paused:
                log.warning("paused", kind=one.subject, detail=one.in_words())
        self._paused = paused
        return Holds(
            pauses=paused, is_off_peak=self._is_off_peak(at), destinations=self._destinations
        )

    def _recover(self, table: type[Work], at: datetime) -> None:
        with self._database.writing() as session:
            lost = work.recover_lost(
                session,
                table,
                maximum_attempts=self._maximum_attempts,
                expire_after=self._expire_after,
                at=at,
            )
            for row in lost:
                log.warning(
                    "lease_lost", kind=table.__name__.lower(), attempt=row.attempts, state=row.state
                )

    def _dispatch(self, table: type[Work], at: datetime, holds: Holds) -> None:
        task, queue = TASK_AND_QUEUE[table]
        with self._database.reading() as session:
            rows = _portion(session, table, at, holds)
            dispatched = due_work.count_dispatched(session, table)
            stale = due_work.dispatched_before(session, table, before=at - self._redispatch_after)
        if dispatched > _MOST_DISPATCHED:
            self._make_queue_anew(table)
            return
        if stale and (lost := dispatched - self._broker.waiting(queue)) > 0:
            # Which of them were lost nobody knows: another message about each does no harm.
            log.warning("messages_lost", queue=queue, count=min(lost, len(stale)))
            rows = stale + rows
        for first in range(0, len(rows), QUEUED):
            told = rows[first : first + QUEUED]
            self._broker.notify(task, queue, [row.id for row in told])
            # Stamped with the time after they were sent, and before the next ones are: a broker
            # that is slow or goes away makes nothing look lost that was not.
            with self._database.writing() as session:
                sent_at = at if self._clock is None else self._clock()
                due_work.note_dispatched(session, table, told, at=sent_at)

    def _make_queue_anew(self, table: type[Work]) -> None:
        """Empty a queue that a former version has filled, behind which all that is new would wait.

        The ledger has everything that is due: nothing is lost with the messages.
        """
        _, queue = TASK_AND_QUEUE[table]
        count = self._broker.empty(queue)
        with self._database.writing() as session:
            due_work.take_back_messages(session, table)
        log.warning("queue_made_anew", queue=queue, count=count)


def _portion(session: Session, table: type[Work], at: datetime, holds: Holds) -> list[Work]:
    """Read as much due work as there is room for in the queue, every destination in turn."""
    if holds.stop(table):
        return []
    if table is Analysis:
        # One look where nothing waits, instead of one for each rank.
        if not due_work.is_untold(session, table):
            return []
        room = QUEUED - due_work.count_dispatched(session, table)
        return due_work.due(session, table, at=at, limit=room, holds=holds) if room > 0 else []
    portions = []
    failing = circuits.circuits(session, at=at)
    for destination in due_work.waiting_destinations(session):
        # Room of its own for each: one that is away takes none from the others.
        room = _most_at_once(session, destination, failing.get(destination), at)
        room -= due_work.count_dispatched(session, table, destination)
        if room > 0:
            portions.append(
                due_work.due(
                    session, table, at=at, limit=room, destination=destination, holds=holds
                )
            )
    return [row for row in chain.from_iterable(zip_longest(*portions)) if row is not None]


def _most_at_once(
    session: Session, destination: str, known: CircuitFacts | None, at: datetime
) -> int:
    """Return of how many deliveries to a destination the queue may speak now."""
    if known is not None and known.circuit is Circuit.OPEN:
        # This one lets a worker ask the destination; it is sent if that answers.
        return 1 if known.may_be_probed(at) else 0
    is_half_open = known is not None and known.is_down
    if is_half_open or due_work.is_failing(session, destination, at=at):
        # One at a time, since each may hold a lane of a worker until its time is over.
        return 1 - due_work.count_sending(session, destination)
    return QUEUED
