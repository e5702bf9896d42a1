"""The registrar: enters the objects in the spool's ``incoming`` folder into the ledger."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property

import structlog
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dicom_node.errors import SetAsideError
from dicom_node.facts.instance import Reading, content_sha256
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.receive.header_process import HeaderReader
from dicom_node.settings.receive import ReceiveSettings
from dicom_node.spool.identity_key import identity_key
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt, set_aside_place, study_place
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.registering import (
    Arrival,
    Verdict,
    confirm_filed,
    confirm_lost,
    enter,
    enter_set_aside,
    entered,
    is_own_result,
    is_set_aside_already,
)
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance

log = structlog.get_logger("dicom_node.registrar")


class Registrar:
    """Enters each received object, then moves its file; may be killed and repeated at any point.

    An object is first entered as received, then moved, then marked as registered. After a crash
    between two steps the same receipt is found in ``incoming`` or at its place, and the remaining
    steps are done.
    """

    def __init__(
        self,
        spool: Spool,
        database: Database,
        settings: ReceiveSettings,
        *,
        clock: Callable[[], datetime],
        takes_tomosynthesis: bool = False,
        headers: HeaderReader | None = None,
    ) -> None:
        self._spool = spool
        self._database = database
        self._settings = settings
        self._clock = clock
        self._takes_tomosynthesis = takes_tomosynthesis
        self._headers = headers or HeaderReader()
        self._broken: set[Receipt] = set()

    def register_all(self) -> int:
        """Register every waiting object; return their number.

        An object that causes an unexpected error is logged once, stays in ``incoming`` and does
        not delay the others. If the ledger is down, the step ends.
        """
        self.finish_moves()
        receipts = self._spool.incoming()
        for receipt in receipts:
            try:
                self._register(receipt)
            except OperationalError:
                raise
            except Exception as error:  # one object must not keep the next from being registered
                if receipt not in self._broken:
                    log.exception(
                        "registering_failed", receipt=str(receipt), reason=type(error).__name__
                    )
                self._broken.add(receipt)
            else:
                self._broken.discard(receipt)
        return len(receipts)

    def close(self) -> None:
        """End the process that reads headers."""
        self._headers.close()

    def waiting_associations(self) -> frozenset[str]:
        """Return the tokens of associations with objects that are not registered yet."""
        waiting = (one for one in self._spool.incoming() if one not in self._broken)
        return frozenset(receipt.association for receipt in waiting)

    def finish_moves(self) -> None:
        """Complete moves that a crash or a failed write interrupted."""
        with self._database.reading() as session:
            received = select(Instance).where(Instance.state == InstanceState.RECEIVED)
            rows = list(session.scalars(received))
        for row in rows:
            try:
                self._file(row)
            except OSError as error:  # this object stays where it is; go on with the next
                log.exception("moving_failed", receipt=row.receipt, reason=type(error).__name__)

    def _register(self, receipt: Receipt) -> None:
        with self._database.reading() as session:
            row = entered(session, str(receipt))
        if row is None:
            row = self._enter(receipt)
        if row is None:
            self._spool.drop(receipt)
            return
        self._file(row)

    def _file(self, row: Instance) -> None:
        receipt = Receipt.parse(row.receipt)
        assert receipt is not None, "the registrar enters only receipts"
        try:
            self._spool.file_away(receipt, row.place)
        except FileNotFoundError:
            with self._database.writing() as session:
                confirm_lost(session, session.get_one(Instance, row.id), at=self._clock())
            log.warning("instance_lost", receipt=row.receipt, sop_instance=row.sop_instance_uid)
            return
        if row.state is InstanceState.RECEIVED:
            with self._database.writing() as session:
                confirm_filed(session, session.get_one(Instance, row.id), at=self._clock())

    def _enter(self, receipt: Receipt) -> Instance | None:
        """Enter a receipt; None if the spool already holds an equal copy."""
        file = self._spool.incoming_file(receipt)
        finish_reading = self._headers.begin(
            file,
            identity_key=self._key,
            secondary_capture_senders=frozenset(self._settings.secondary_capture_senders),
            maximum_bytes=self._settings.maximum_object_bytes,
            takes_tomosynthesis=self._takes_tomosynthesis,
        )
        digest = content_sha256(file)  # while the other process reads the header
        reading = finish_reading()
        arrival = Arrival(
            receipt=str(receipt),
            received_at=receipt.received_at,
            association=receipt.association,
            calling_ae_title=reading.calling_ae_title,
            size_bytes=file.lstat().st_size,
            content_sha256=digest,
        )
        with self._database.writing() as session:
            verdict, problem = self._judge(session, receipt, arrival, reading)
            row = entered(session, str(receipt))
        _report(receipt, reading.facts, verdict, problem)
        return row

    @cached_property
    def _key(self) -> bytes:
        """The key, read at the first object, so that a node can start with a full disk."""
        return identity_key(self._spool)

    def _judge(
        self, session: Session, receipt: Receipt, arrival: Arrival, reading: Reading
    ) -> tuple[Verdict, SetAsideError | None]:
        """Enter the arrival if its verdict calls for a row."""
        facts, problem = reading.facts, reading.problem
        if facts is not None:
            if is_own_result(session, facts.sop_instance_uid):
                return Verdict.OWN_RESULT, None
            if problem is None:
                place = study_place(receipt, facts.study_instance_uid)
                try:
                    return enter(session, arrival, facts, place=place, at=self._clock()), None
                except SetAsideError as error:
                    problem = error
        assert problem is not None, "an object without facts has a problem"
        if is_set_aside_already(session, arrival, facts, reason=problem.reason_word):
            return Verdict.REPEATED, None
        enter_set_aside(
            session,
            arrival,
            facts,
            place=set_aside_place(receipt),
            reason=problem.reason_word,
            detail=str(problem),
            at=self._clock(),
        )
        return Verdict.SET_ASIDE, problem


def _report(
    receipt: Receipt, facts: InstanceFacts | None, verdict: Verdict, problem: SetAsideError | None
) -> None:
    about = {"receipt": str(receipt)}
    if facts is not None:
        about |= {"study": facts.study_instance_uid, "sop_instance": facts.sop_instance_uid}
    if problem is None:
        log.info(f"instance_{verdict.value}", **about)
    else:
        log.warning("instance_set_aside", reason=problem.reason_word, detail=str(problem), **about)
