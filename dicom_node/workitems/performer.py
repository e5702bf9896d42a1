"""Works off a worklist: finds workitems, claims them, has their studies analysed, completes them.

Whatever is to be told to the server is in the ledger before, so that the node may be killed at any
point: the next start tells it again. The server knows the node by the Transaction UID, which is
stored before it is ever sent.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from dicom_node.errors import DeliveryError, OvertakenError
from dicom_node.facts.identity import PatientDigest
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.procedure_steps import workitems
from dicom_node.studies.ledger.procedure_steps.tables import Workitem as Row
from dicom_node.studies.ledger.procedure_steps.tables import WorkitemState
from dicom_node.studies.ledger.tables import Instance, Study
from dicom_node.studies.own_spool import own_spool
from dicom_node.workitems.auditing import WorkitemAudit
from dicom_node.workitems.claiming import Claims
from dicom_node.workitems.event_channel import EventChannel
from dicom_node.workitems.judging import (
    analysable,
    code_performed,
    filters_of,
    is_offered,
    own_codes,
    refusal_of,
)
from dicom_node.workitems.messages import new_transaction_uid
from dicom_node.workitems.performance import Performance
from dicom_node.workitems.standing import is_of_another
from dicom_node.workitems.ups_server import UpsServer
from dicom_node.workitems.workitem import IN_PROGRESS, Workitem, WorkitemError, workitem_in

log = structlog.get_logger("dicom_node.workitems")

_LONGEST_PAUSE_SECONDS: Final = 600.0
_MOST_DOUBLINGS: Final = 8


class Performer:
    """The step of the node's thread that works off the worklist of [ups].

    Parameters
    ----------
    is_ready : whether the ledger can be asked
    stopping : set when the node stops; no further workitem is claimed then
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        database: Database,
        *,
        is_ready: Callable[[], bool] = lambda: True,
        stopping: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._database = database
        self._is_ready = is_ready
        self._stopping = stopping or threading.Event()
        self._clock = clock
        self._server = UpsServer(settings.ups, tls=settings.tls)
        self._claims = Claims(self._server, database, WorkitemAudit(settings, database))
        self._performance = Performance(
            settings, self._server, spool, database, stopping=self._stopping
        )
        self._zone: tzinfo | None = None
        if settings.results.time_zone is not None:
            self._zone = ZoneInfo(settings.results.time_zone)
        self._called = threading.Event()
        self._next_search = self._silent_until = 0.0
        self._failures = 0
        self._broken: set[str] = set()
        self._channel: EventChannel | None = None

    def search_soon(self) -> None:
        """Search at the next step: something was heard of the worklist."""
        self._called.set()

    def step(self) -> None:
        """Do what can be done now; trouble with the server is logged once, and waited out."""
        if not self._is_ready():
            return
        if self._settings.ups.events and self._channel is None:
            channel = EventChannel(
                self._settings,
                on_news=self.search_soon,
                on_cancel=self.cancel_asked,
                stopping=self._stopping,
            )
            channel.start()
            self._channel = channel
        if self._clock() < self._silent_until:
            return
        try:
            self._go_on()
            if self._called.is_set() or self._clock() >= self._next_search:
                self._called.clear()
                self._reconcile()
                self._search()
                self._next_search = self._clock() + self._settings.ups.seconds
        except DeliveryError as error:
            if not self._failures:
                log.warning("worklist_down", reason=str(error))
            self._failures += 1
            doubled = self._settings.ups.seconds * 2 ** min(self._failures - 1, _MOST_DOUBLINGS)
            longest = max(self._settings.ups.seconds, _LONGEST_PAUSE_SECONDS)
            self._silent_until = self._clock() + min(doubled, longest)
        else:
            if self._failures:
                log.info("worklist_answers_again")
            self._failures = 0

    def _go_on(self) -> None:
        """Go on with what is claimed."""
        spool_id = own_spool(self._spool, self._database)
        with self._database.reading() as session:
            rows = workitems.open_workitems(session, spool_id)
        for row in rows:
            self._guarded(row.workitem_uid, partial(self._go_on_with, row))

    def _go_on_with(self, row: Row) -> None:
        if row.state == WorkitemState.CLAIMING and not self._claims.claim(row, is_fresh=False):
            return
        self._performance.go_on(row)

    def _search(self) -> None:
        """Look for new workitems, and take the most urgent ones first (RAD-81 to RAD-83)."""
        ups, at = self._settings.ups, self._database.now()
        found: dict[str, Workitem] = {}
        for code in own_codes(ups):
            for answer in self._server.search(filters_of(ups, code, at)):
                try:
                    workitem = workitem_in(answer, zone=self._zone)
                except WorkitemError as error:
                    self._say_once("workitem_unreadable", str(error))
                    continue
                if is_offered(workitem, ups, at):
                    found[workitem.uid] = workitem
        with self._database.writing() as session:
            workitems.forget_old(session, at=at)
            known = workitems.settled_among(session, list(found), at=at)
        new = [one for uid, one in found.items() if uid not in known]
        for workitem in sorted(new, key=lambda one: one.order):
            if self._stopping.is_set() or not self._has_room():
                return
            self._guarded(workitem.uid, partial(self._consider, workitem.uid))

    def _consider(self, uid: str) -> None:
        """Read a workitem whole, and claim it if it is the node's to do (RAD-83, RAD-82)."""
        answer = self._server.workitem(uid)
        if answer is None:
            return
        at = self._database.now()
        workitem = workitem_in(answer, uid=uid, zone=self._zone)
        if not is_offered(workitem, self._settings.ups, at):
            return
        refusal = self._refusal(workitem)
        if refusal:
            if self._is_newly_refused(uid, refusal, at):
                log.warning("workitem_refused", workitem=uid, reason=refusal)
            return
        row = self._entered(workitem)
        if row is not None and self._claims.claim(row, is_fresh=True):
            self._performance.go_on(row)

    def _refusal(self, workitem: Workitem) -> str:
        classes = self._performance.inputs.classes
        if why := refusal_of(workitem, self._settings.ups, classes):
            return why
        with self._database.reading() as session:
            query = select(Instance).join(Study, Study.id == Instance.study_id)
            query = query.where(Study.study_instance_uid == workitem.studies[0])
            instances = session.scalars(query).all()
        if is_of_another(self._digest(workitem), instances):
            return "the node has images of this study under another patient"
        return ""

    def _is_newly_refused(self, uid: str, reason: str, at: datetime) -> bool:
        try:
            with self._database.writing() as session:
                return workitems.note_refused(session, uid, reason, at=at)
        except IntegrityError:  # another node before this ledger was first
            return False

    def _entered(self, workitem: Workitem) -> Row | None:
        """Store the claim before it is made; None if another node before this ledger was first."""
        code = code_performed(workitem, self._settings.ups)
        chosen = analysable(workitem, self._performance.inputs.classes)
        spool_id = own_spool(self._spool, self._database)
        try:
            with self._database.writing() as session:
                return workitems.enter_claim(
                    session,
                    workitem.uid,
                    transaction_uid=new_transaction_uid(),
                    spool_id=spool_id,
                    study_instance_uid=workitem.studies[0],
                    inputs=[one.sop_instance_uid for one in chosen],
                    patient_digest=self._digest(workitem),
                    code=(code.value, code.scheme, code.meaning),
                    priority=int(workitem.priority),
                    at=self._database.now(),
                )
        except IntegrityError:
            return None

    def _reconcile(self) -> None:
        """Ask for the workitems that are held: one may have been ended, or is to be canceled."""
        spool_id = own_spool(self._spool, self._database)
        with self._database.reading() as session:
            rows = workitems.open_workitems(session, spool_id)
        for row in rows:
            if row.state == WorkitemState.HELD:
                self._guarded(row.workitem_uid, partial(self._look_at, row))

    def _look_at(self, row: Row) -> None:
        answer = self._server.workitem(row.workitem_uid)
        if answer is None:
            self._claims.lose(row, "the server knows it no more")
            return
        workitem = workitem_in(answer, uid=row.workitem_uid, zone=self._zone)
        if workitem.state != IN_PROGRESS:
            self._claims.lose(row, f"it was set to {workitem.state or 'no state'} by somebody else")
        elif workitem.is_cancel_asked:
            self.cancel_asked(row.workitem_uid)

    def cancel_asked(self, uid: str) -> None:
        """Note that somebody asks to cancel a workitem; the next step decides (RAD-88)."""
        with self._database.writing() as session:
            is_new = workitems.note_cancel_asked(session, uid)
        if is_new:
            log.info("workitem_cancel_asked", workitem=uid)

    def _has_room(self) -> bool:
        spool_id = own_spool(self._spool, self._database)
        with self._database.reading() as session:
            held = len(workitems.open_workitems(session, spool_id))
        return held < self._settings.ups.most_at_once

    def _digest(self, workitem: Workitem) -> str:
        key = installation_key(self._spool, self._database)
        return PatientDigest.of(workitem.patient, key).stored()

    def _guarded(self, uid: str, act: Callable[[], None]) -> None:
        """Let one workitem keep no other from being worked off."""
        try:
            act()
        except (DeliveryError, DATABASE_TROUBLE):
            raise
        except WorkitemError as error:
            self._say_once("workitem_unreadable", str(error), uid)
        except OvertakenError:
            log.debug("workitem_overtaken", workitem=uid)  # the next step goes on from what it is
        except Exception as error:
            if uid not in self._broken:
                self._broken.add(uid)
                log.exception("workitem_failed", workitem=uid, reason=type(error).__name__)
        else:
            self._broken.discard(uid)

    def _say_once(self, event: str, reason: str, uid: str = "") -> None:
        if f"{uid} {reason}" not in self._broken:
            self._broken.add(f"{uid} {reason}")
            log.warning(event, workitem=uid, reason=reason)
