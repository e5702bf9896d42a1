"""The registrar: enters the objects in the spool's ``incoming`` folder into the ledger."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import structlog
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dicom_node.errors import OutOfResourcesError, SetAsideError
from dicom_node.facts.instance import Reading, content_sha256
from dicom_node.facts.likeness import Likeness
from dicom_node.facts.study_in_stream import study_of_file
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.receive.registration.likeness_process import compared
from dicom_node.receive.registration.twins import Twins
from dicom_node.receive.registration.waiting_object import WaitingObject, report
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt, set_aside_place, study_place
from dicom_node.spool.open_associations import SentObject
from dicom_node.studies.host_clock import HostClock
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.arrival.correcting import Comparison, replaced_files
from dicom_node.studies.ledger.arrival.registering import (
    Arrival,
    Verdict,
    confirm_filed,
    confirm_lost,
    confirm_removed,
    enter,
    enter_set_aside,
    entered_among,
    hold_instances,
    hold_studies,
    is_own_result,
    is_set_aside_already,
    taken_back,
)
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.schema import OtherSchemaError
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.storing import Stored
from dicom_node.studies.ledger.tables import Instance
from dicom_node.studies.own_spool import own_spool
from dicom_node.studies.reach import Reach

log = structlog.get_logger("dicom_node.registrar")

_BATCH: Final = 32
"""Objects that share the flushes of two transactions and of their folders."""

Item = TypeVar("Item")


class Registrar:
    """Enters received objects, then moves their files; may be killed and repeated at any point.

    An object is first entered as received, then moved, then marked as registered. After a crash
    between two steps the same receipt is found in ``incoming`` or at its place, and the remaining
    steps are done. Objects that wait together take each step together.
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
        compare: Callable[[Path | None, Path], Likeness] = compared,
        other_spools: Sequence[Path] = (),
        stored: Stored = Stored.NOT,
        keeps_identifiers: bool = True,
    ) -> None:
        self._spool = spool
        self._database = database
        self._settings = settings
        self._clock = clock
        self._stored = stored
        self._keeps_identifiers = keeps_identifiers
        self._host_clock = HostClock(database)
        self._takes_tomosynthesis = takes_tomosynthesis
        self._headers = headers or HeaderReader()
        self._twins = Twins(Reach(spool, other_spools), database, compare)
        self._broken: set[Receipt] = set()
        self._studies: dict[Receipt, str | None] = {}
        self._slow: set[Receipt] = set()
        self._unmoved: set[str] = set()
        self._disk_trouble = ""

    def register_all(self) -> int:
        """Register every waiting object; return their number.

        An object that causes an unexpected error is logged once, stays in ``incoming`` and does
        not delay the others. Nor does one whose header takes long to read: it comes when nothing
        else waits. If the ledger is down, or of another release, the step ends.
        """
        self.finish_moves()
        receipts = self._spool.incoming()
        # What broke before is tried by itself, so that it cannot break a batch each time.
        late = self._broken | self._slow
        for batch in _batches([receipt for receipt in receipts if receipt not in late]):
            self._attempt(batch)
        for receipt in receipts:
            is_slow = receipt in self._slow
            if not is_slow and receipt not in self._broken:
                continue
            self._attempt((receipt,), may_take_long=True)
            if is_slow and not set(receipts).issuperset(self._spool.incoming()):
                break  # what has arrived meanwhile comes first
        return len(receipts)

    def close(self) -> None:
        """End the process that reads headers."""
        self._headers.close()

    def waiting_objects(self) -> list[SentObject]:
        """Return the objects that are not registered yet, but for those that cannot be."""
        waiting = [one for one in self._spool.incoming() if one not in self._broken]
        self._studies = {one: self._study_of(one) for one in waiting}
        return [
            SentObject(
                association=receipt.association,
                study_instance_uid=study,
                is_coming=True,
                since=self._received_at(receipt),
            )
            for receipt, study in self._studies.items()
        ]

    def _study_of(self, receipt: Receipt) -> str | None:
        if receipt in self._studies:
            return self._studies[receipt]
        try:
            return study_of_file(self._spool.incoming_file(receipt))
        except OSError:
            return None  # registered meanwhile, or what registering tells of

    def finish_moves(self) -> None:
        """Complete moves that a crash or a failed write interrupted, or that an operator wants."""
        with self._database.reading() as session:
            received = select(Instance).where(
                in_states(Instance, InstanceState.RECEIVED), Instance.spool_id == self._spool_id
            )
            rows = list(session.scalars(received))
        for batch in _batches(rows):
            self._file(batch)
        self._take_back()
        self._discard_replaced()

    def _attempt(self, batch: Sequence[Receipt], *, may_take_long: bool = False) -> None:
        """Register a batch; if it fails, each of its objects by itself."""
        try:
            self._register(batch, may_take_long=may_take_long)
        except (OperationalError, OtherSchemaError):
            raise
        except Exception as error:  # one object must not keep the next from being registered
            if len(batch) > 1:
                for receipt in batch:
                    self._attempt((receipt,), may_take_long=may_take_long)
                return
            if batch[0] not in self._broken:
                log.exception(
                    "registering_failed", receipt=str(batch[0]), reason=type(error).__name__
                )
            self._broken.add(batch[0])
        else:
            self._broken.difference_update(batch)
        if may_take_long:
            self._slow.difference_update(batch)

    def _register(self, batch: Sequence[Receipt], *, may_take_long: bool) -> None:
        with self._database.reading() as session:
            rows = entered_among(session, [str(receipt) for receipt in batch])
        known = {row.receipt for row in rows}
        new = [receipt for receipt in batch if str(receipt) not in known]
        read = [(receipt, self._read(receipt, may_take_long=may_take_long)) for receipt in new]
        self._slow.update(receipt for receipt, found in read if found is None)
        waiting = [found for _, found in read if found is not None]
        while True:
            entered, undecided = self._enter(waiting)
            kept = {row.receipt for row in entered}
            for one in waiting:
                if one.arrival.receipt not in kept and one not in undecided:
                    self._spool.drop(one.receipt)
            self._file([*rows, *entered])
            # A copy of what came in the same batch is compared once that is at its place.
            if len(undecided) == len(waiting):
                return
            rows, waiting = [], undecided

    def _file(self, rows: Sequence[Instance]) -> None:
        """Move the files of entered objects, then record in one transaction that they moved."""
        moved, lost = [], []
        with self._spool.moves_together():
            for row in rows:
                receipt = Receipt.parse(row.receipt)
                assert receipt is not None, "the registrar enters only receipts"
                try:
                    self._spool.file_away(receipt, row.place)
                except FileNotFoundError:
                    lost.append(row.id)
                    log.warning(
                        "instance_lost", receipt=row.receipt, sop_instance=row.sop_instance_uid
                    )
                # This object stays where it is: go on with the next.
                except (OSError, OutOfResourcesError) as error:
                    self._note_unmoved(row, error)
                    self._broken.add(receipt)
                else:
                    self._unmoved.discard(row.receipt)
                    self._disk_trouble = ""
                    if row.state is InstanceState.RECEIVED:
                        moved.append(row.id)
        if not moved and not lost:
            return
        at = self._clock()
        with self._database.writing() as session:
            for instance in hold_instances(session, [*moved, *lost]):
                confirm = confirm_lost if instance.id in lost else confirm_filed
                confirm(session, instance, at=at)

    def _note_unmoved(self, row: Instance, error: Exception) -> None:
        """Say once of a file, or of a whole disk, that it cannot be moved."""
        if isinstance(error, OutOfResourcesError):
            if str(error) != self._disk_trouble:
                self._disk_trouble = str(error)
                log.error("moving_failed", receipt=row.receipt, reason=str(error))
            return
        if row.receipt not in self._unmoved:
            log.exception("moving_failed", receipt=row.receipt, reason=type(error).__name__)
        self._unmoved.add(row.receipt)

    def _take_back(self) -> None:
        """Move what an operator wants judged again back to ``incoming``."""
        with self._database.reading() as session:
            rows = taken_back(session, self._spool_id, limit=_BATCH)
        left = []
        for row in rows:
            try:
                # Its file may be gone: a registrar that was then killed has moved it already.
                self._spool.take_back(row.place)
            except (OSError, OutOfResourcesError) as error:
                self._note_unmoved(row, error)
            else:
                self._unmoved.discard(row.receipt)
                left.append(row.id)
        if left:
            with self._database.writing() as session:
                confirm_removed(session, left)

    def _discard_replaced(self) -> None:
        """Delete what gave way to a newer copy that is at its place now."""
        with self._database.reading() as session:
            rows = replaced_files(session, self._spool_id, limit=_BATCH)
        gone = []
        for row in rows:
            try:
                self._spool.discard(row.place)
            except (OSError, ValueError, OutOfResourcesError) as error:
                self._note_unmoved(row, error)
            else:
                self._unmoved.discard(row.receipt)
                gone.append(row.id)
        if gone:
            with self._database.writing() as session:
                confirm_removed(session, gone)

    def _enter(
        self, waiting: Sequence[WaitingObject]
    ) -> tuple[list[Instance], list[WaitingObject]]:
        """Enter objects in one transaction; leave out those of which the spool has a copy.

        Returns
        -------
        rows, undecided
            Of what was entered; and what cannot be decided yet.
        """
        if not waiting:
            return [], []
        compared = self._twins.compared_with(
            {
                one.file: (one.facts.sop_instance_uid, one.arrival)
                for one in waiting
                if one.facts is not None and one.problem is None
            }
        )
        at = self._clock()
        judged = []
        with self._database.writing() as session:
            hold_studies(session, [one.facts.study_instance_uid for one in waiting if one.facts])
            for one in waiting:
                comparison = compared.get(one.arrival.receipt)
                judged.append((one, *self._judge(session, one, comparison, at)))
            rows = entered_among(session, [one.arrival.receipt for one in waiting])
        for one, verdict, problem in judged:
            report(one, verdict, problem, {row.receipt: row for row in rows})
        return rows, [one for one, verdict, _ in judged if verdict is Verdict.UNDECIDED]

    def _read(self, receipt: Receipt, *, may_take_long: bool) -> WaitingObject | None:
        """Read an object; None if its header takes long and there is no time for it now."""
        if doubt := self._spool.doubt_about(receipt):
            problem = SetAsideError("foreign-file", f"the node did not put it there: {doubt}")
            return self._waiting(receipt, Reading(facts=None, problem=problem), "")
        file = self._spool.incoming_file(receipt)
        finish_reading = self._headers.begin(
            file,
            identity_key=self._key,
            secondary_capture_senders=frozenset(self._settings.secondary_capture_senders),
            maximum_bytes=self._settings.maximum_object_bytes,
            takes_tomosynthesis=self._takes_tomosynthesis,
            radiograph_senders=frozenset(self._settings.radiograph_senders),
            may_take_long=may_take_long,
        )
        digest = content_sha256(file)  # while the other process reads the header
        reading = finish_reading()
        if reading is None:
            return None
        reading = reading.with_priority(
            stat=self._settings.stat_senders, off_peak=self._settings.off_peak_senders
        )
        return self._waiting(receipt, reading, digest)

    def _received_at(self, receipt: Receipt) -> datetime:
        # Before the host's clock was set back, receipts were made that are later than now.
        return self._host_clock.shared(min(receipt.received_at, datetime.now(UTC)))

    def _waiting(self, receipt: Receipt, reading: Reading, digest: str) -> WaitingObject:
        file = self._spool.incoming_file(receipt)
        arrival = Arrival(
            receipt=str(receipt),
            received_at=self._received_at(receipt),
            association=receipt.association,
            calling_ae_title=reading.calling_ae_title,
            size_bytes=file.lstat().st_size,
            content_sha256=digest,
            spool_id=self._spool_id,
            stored=int(self._stored),
        )
        return WaitingObject(
            receipt=receipt,
            file=file,
            arrival=arrival,
            facts=reading.kept_facts(identifiers=self._keeps_identifiers),
            problem=reading.problem,
        )

    @cached_property
    def _spool_id(self) -> int:
        return own_spool(self._spool, self._database)

    @cached_property
    def _key(self) -> bytes:
        """The key, read at the first object, so that a node can start with a full disk."""
        return installation_key(self._spool, self._database)

    def _judge(
        self, session: Session, one: WaitingObject, comparison: Comparison | None, at: datetime
    ) -> tuple[Verdict, SetAsideError | None]:
        """Enter the arrival if its verdict calls for a row."""
        arrival, facts, problem = one.arrival, one.facts, one.problem
        if facts is not None:
            if is_own_result(session, facts.sop_instance_uid):
                return Verdict.OWN_RESULT, None
            if problem is None:
                place = study_place(one.receipt, facts.study_instance_uid)
                try:
                    verdict = enter(
                        session, arrival, facts, place=place, at=at, comparison=comparison
                    )
                except SetAsideError as error:
                    problem = error
                else:
                    return verdict, None
        assert problem is not None, "an object without facts has a problem"
        if is_set_aside_already(session, arrival, facts, reason=problem.reason_word):
            return Verdict.REPEATED, None
        enter_set_aside(
            session,
            arrival,
            facts,
            place=set_aside_place(one.receipt),
            reason=problem.reason_word,
            detail=str(problem),
            at=at,
        )
        return Verdict.SET_ASIDE, problem


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[first : first + _BATCH] for first in range(0, len(items), _BATCH))
