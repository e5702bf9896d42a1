"""Judges what senders ask the node to commit to, by what it holds."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from dicom_node.facts.commitment_request import Asked, asked_in
from dicom_node.receive.commitment_reports import Line
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.sender_requests import SenderRequest, SenderRequests
from dicom_node.studies.host_clock import HostClock
from dicom_node.studies.ledger.arrival.coming import may_wait_elsewhere
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.proof.sender_requests import (
    are_moving,
    copies_of,
    enter_commitment,
    would_fail,
)
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance
from dicom_node.studies.own_spool import own_spool

log = structlog.get_logger("dicom_node.commitment")

_PATIENCE: Final = timedelta(minutes=10)
"""How long an object that was received before the request may take to be registered."""


class Commitments:
    """Requests from the spool into the ledger; may be killed at any point.

    Parameters
    ----------
    expect : is told of each request, before the ledger has it, with the line on which its sender
        may be told; see `CommitmentReports.expect`
    """

    def __init__(
        self,
        spool: Spool,
        database: Database,
        expect: Callable[[Asked, Line | None], None] = lambda *_: None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._spool = spool
        self._database = database
        self._clock = clock
        self._expect = expect
        self._requests = SenderRequests(spool.root)
        self._host_clock = HostClock(database)

    def judge_after(self, register: Callable[[], object]) -> int:
        """Have everything registered that came before the requests that wait, and judge those.

        For the thread that registers. What comes meanwhile may be another copy of what a request
        that comes meanwhile, too, is about: that one waits for the next time.
        """
        waiting = self._requests.files()
        register()
        return self.judge_waiting(waiting)

    def judge_waiting(self, files: Collection[Path] | None = None) -> int:
        """Enter the requests that wait into the ledger; by default all."""
        judged = 0
        for file, came_at, request in self._requests.waiting():
            if files is not None and file not in files:
                continue
            asked = None if request is None else asked_in(request)
            if request is None or asked is None:
                log.warning(
                    "commitment_unreadable",
                    calling_ae_title="" if request is None else request.calling_ae_title,
                )
            else:
                self._expect(asked, _line_of(request))
                if not self._enter(asked, came_at):
                    continue
            self._requests.drop(file)
            judged += 1
        return judged

    def _enter(self, asked: Asked, came_at: datetime) -> bool:
        """Commit to what is held; False while objects received before may yet be registered."""
        own, at = own_spool(self._spool, self._database), self._clock()
        came_at = self._host_clock.shared(came_at)
        with self._database.reading() as session:
            # As it is at one moment: what no node waits to register any more is among the copies.
            copies = copies_of(session, asked.references)
            waits_elsewhere = may_wait_elsewhere(session, own, received_before=came_at, at=at)
        registered = [row for row in copies if row.state is InstanceState.REGISTERED]
        there = {row.place for row in registered if self._is_there(row, own)}
        if (
            at - came_at < _PATIENCE
            and would_fail(asked.references, copies, there)
            and (are_moving(copies) or waits_elsewhere or self._waits_here(came_at, at))
        ):
            return False
        with self._database.writing() as session:
            enter_commitment(session, asked, is_there=there, at=at)
        return True

    def _waits_here(self, came_at: datetime, at: datetime) -> bool:
        waiting = self._spool.incoming()
        if not waiting:
            return False
        # What is later than now was received before the clock was set back.
        return not came_at < self._host_clock.shared(waiting[0].received_at) <= at

    def _is_there(self, row: Instance, own: int) -> bool:
        # What another node has registered is in its spool, flushed: its disk is not seen from here.
        if row.spool_id != own:
            return True
        file = self._spool.file(row.place)
        if not file.is_file():
            return False
        size = file.stat().st_size
        return size > 0 and size == (row.size_bytes or size)


def _line_of(request: SenderRequest) -> Line | None:
    if not request.association:
        return None
    return Line(name=request.association, transfer_syntax=request.transfer_syntax)
