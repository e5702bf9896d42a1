"""The node process: receiving processes, registrar, settling, dispatch and proof on one spool."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from dicom_node.canary.schedule import run_if_due
from dicom_node.errors import BrokerDownError, NodeError
from dicom_node.hl7.correcting import PatientCorrections
from dicom_node.node_parts import (
    open_spool,
    registrar_of,
    retention_of,
    utc_now,
    warn_of_removed_destinations,
    web_servers_of,
)
from dicom_node.node_watch import NodeWatch
from dicom_node.proof.images import ImageSearch
from dicom_node.proof.prover import Prover
from dicom_node.receive.acceptor_pool import AcceptorPool
from dicom_node.receive.commitment_reports import CommitmentReports
from dicom_node.receive.commitments import Commitments
from dicom_node.receive.reporters import reporters_of
from dicom_node.routing.route import DEFAULT_ROUTE
from dicom_node.settings.settings import Settings
from dicom_node.spool.back_up import is_restored
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.reports import Reports
from dicom_node.spool.object_store import StoreDownError
from dicom_node.spool.open_associations import SentObject
from dicom_node.studies.broker import Broker, broker_options
from dicom_node.studies.clock_steps import clock_steps_of
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.host_clock import HostClock
from dicom_node.studies.installation_key import OtherKeyError, installation_key
from dicom_node.studies.ledger.arrival.coming import told_to_each_other
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.schema import OtherSchemaError
from dicom_node.studies.ledger.spools import FIRST, SpoolHeldError
from dicom_node.studies.off_peak import off_peak_of
from dicom_node.studies.own_spool import own_spool
from dicom_node.studies.restoring import restore_if_wanted
from dicom_node.studies.settling import (
    Patience,
    SettlingRounds,
    complete_studies,
    next_quiet,
    settle_if_complete,
)
from dicom_node.studies.spool_hold import SpoolHold
from dicom_node.studies.steady_clock import SteadyClock
from dicom_node.studies.uploads import Uploads
from dicom_node.study_routing import LedgerRouter
from dicom_node.ways_in import ways_in

log = structlog.get_logger("dicom_node.node_process")

_TICK_SECONDS = 1.0
"""Time after which everything is looked at again, whatever was or was not told meanwhile."""

_LOOK_SECONDS = 0.1
"""Time after which results that wait to be sent are found, and between two looks at studies."""

_REST = 9
"""How much longer than notifying workers the dispatcher rests before it looks again."""

_CLOCK_SECONDS = 0.002
"""Added to a wait, so that the wall clock has reached its end too."""

_EVENTS: Final[dict[type[NodeError], str]] = {
    BrokerDownError: "broker_down",
    OtherKeyError: "other_key",
    SpoolHeldError: "spool_held",
    StoreDownError: "store_down",
}
"""Lines in the log for what passes by itself or by what a person does."""


@contextmanager
def running_node(settings: Settings) -> Iterator["Node"]:
    """Run a node in background threads until the block ends.

    Raises
    ------
    SpoolInUseError
        Another node process uses the spool.
    AddressError
        The node cannot listen on the configured address.
    """
    spool = open_spool(settings)
    is_restored(spool.root)
    with spool.owned(), closing(Database(settings.ledger_url)) as database:
        if still_open := spool.close_to_others():
            log.warning(
                "files_open_to_others",
                count=len(still_open),
                detail=f"other users can read {still_open[0]}, which has another owner: "
                "change the owner to the account of the node",
            )
        node = Node(settings, spool, database)
        node.start()
        try:
            yield node
        finally:
            node.stop()


class Node:
    """The threads of one node; everything that must survive is on disk and in the ledger."""

    def __init__(self, settings: Settings, spool: Spool, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._spool = spool
        self._own_spool = FIRST
        self._hold = SpoolHold(spool, database)
        self._host_clock = HostClock(database)
        self._believes = SteadyClock().believes
        self._stopping = threading.Event()
        self._ledger_ready = threading.Event()
        self._is_of_other_schema = threading.Event()
        self._arrived = threading.Event()
        self._registrar = registrar_of(settings, spool, database)
        self._retention = retention_of(settings, spool, database, believes=self._believes)
        self._reports = CommitmentReports(settings, spool.root, database, clock=database.now)
        self._commitments = Commitments(spool, database, self._reports.expect, clock=database.now)
        self._acceptors = AcceptorPool(
            settings.receive,
            spool,
            tls=settings.tls,
            log_format=settings.log_format,
            reporters=reporters_of(settings),
            on_kept=self._arrived.set,
        )
        self._hl7 = PatientCorrections(settings, spool, database, self._ledger_ready.is_set)
        self._servers = web_servers_of(settings, spool)
        self._broker = Broker(**broker_options(settings))
        self._dispatcher = Dispatcher(
            database,
            self._broker,
            redispatch_after=timedelta(seconds=settings.work.redispatch_seconds),
            maximum_attempts=settings.work.maximum_attempts,
            expire_after=timedelta(seconds=settings.retry.expire_seconds),
            clock=database.now,
            is_off_peak=off_peak_of(settings),
            destinations=settings.destination_names,
            clock_steps=clock_steps_of(settings, database, monotonic=time.monotonic),
        )
        self._patience = Patience(
            idle=timedelta(seconds=settings.settling.idle_seconds),
            grace=timedelta(seconds=settings.settling.grace_seconds),
        )
        self._settling = SettlingRounds()
        self._router = LedgerRouter(settings, spool)
        self._unsettled: set[int] = set()
        self._next_quiet: datetime | None = None
        self._work_is_due = threading.Event()
        self._next_tick = self._next_look = 0.0
        self._prover = Prover(settings, database, Reports(spool.root), believes=self._believes)
        self._watch = NodeWatch(settings, database, is_ready=self._ledger_ready.is_set)
        steps = [
            ("registrar", self._register, self._wait_for_arrival),
            ("settling", self._settle, self._wait_for_quiet),
            ("dispatch", self._dispatch, self._wait_for_work),
            ("proof", self._prove, self._wait_for_tick),
            ("hold", self._keep_spool, self._wait_for_tick),
            ("watch", self._watch.step, self._wait_for_tick),
        ]
        if settings.store.is_on:
            self._uploads = Uploads(spool, database, settings.store)
            steps.append(("store", self._store, self._wait_for_tick))
        if settings.receive.commitment:
            steps.append(("commitment", self._report, self._wait_for_tick))
        self._images = ImageSearch(settings, database)
        if self._images.is_wanted:
            steps.append(("images", self._find_images, self._wait_for_tick))
        if settings.canary.minutes:
            steps.append(("canary", self._send_canary, self._wait_for_tick))
        ready, stopping = self._ledger_ready.is_set, self._stopping
        for name, step in ways_in(settings, spool, database, is_ready=ready, stopping=stopping):
            steps.append((name, step, self._wait_for_tick))
        if settings.hl7.enabled:
            steps.append(("hl7", self._hl7.step, self._wait_for_tick))
        self._threads = [
            threading.Thread(target=self._loop, args=(step, pause), name=name, daemon=True)
            for name, step, pause in steps
        ]

    def start(self) -> None:
        """Listen at once: reception needs neither ledger nor broker."""
        self._acceptors.start()
        for server in self._servers:
            server.start()
        self._hl7.start()
        for thread in self._threads:
            thread.start()
        receive = self._settings.receive
        log.info("node_started", host=receive.host, port=receive.port, kind=receive.ae_title)

    def stop(self) -> None:
        """Stop listening and let each thread finish its current step."""
        self._acceptors.stop()
        for server in self._servers:
            server.stop()
        self._hl7.stop()
        self._stopping.set()
        self._arrived.set()
        self._work_is_due.set()
        for thread in self._threads:
            thread.join(timeout=30)
        self._hold.release(self._own_spool)
        self._prover.stop()
        self._reports.stop()
        self._registrar.close()
        self._router.close()
        self._watch.close()
        log.info("node_stopped")

    def _loop(self, step: Callable[[], None], pause: Callable[[], None]) -> None:
        failing = ""
        while not self._stopping.is_set():
            try:
                step()
                if failing:
                    log.info("trouble_ended", reason=failing)
                failing = ""
            except tuple(_EVENTS) as error:
                if failing != error.reason:
                    log.warning(_EVENTS[type(error)], reason=error.reason, detail=str(error))
                failing = error.reason
            except OtherSchemaError as error:
                if not self._is_of_other_schema.is_set():  # one line for all threads
                    self._is_of_other_schema.set()
                    log.error("ledger_of_another_version", detail=str(error))  # noqa: TRY400  expected
                failing = error.reason
            except Exception as error:  # the outermost loop of this process
                if failing != type(error).__name__:
                    log.exception("step_failed", reason=type(error).__name__)
                failing = type(error).__name__
            pause()

    def _register(self) -> None:
        if not self._ledger_ready.is_set():
            self._database.migrate()
            self._broker.speak_of(self._database.name_in_messages())
            restore_if_wanted(self._settings.spool, self._database)
            self._own_spool = own_spool(self._spool, self._database)
            self._hold.keep(self._own_spool)
            # Made at once, for whoever copies it to a further node; with a full disk at the first
            # object.
            with suppress(OSError):
                installation_key(self._spool, self._database)
            warn_of_removed_destinations(self._settings, self._database)
            self._ledger_ready.set()
        self._arrived.clear()
        self._commitments.judge_after(self._registrar.register_all)
        # In this thread: no folder disappears while a file is moved into it.
        self._retention.step()

    def _keep_spool(self) -> None:
        if self._ledger_ready.is_set():
            try:
                self._hold.keep(self._own_spool)
            except SpoolHeldError:
                self._ledger_ready.clear()  # the registrar says so, and goes on once it may

    def _settle(self) -> None:
        self._next_quiet = None
        if not self._ledger_ready.is_set():
            return
        # In this order: what is no association's latest object any more is in the spool by then,
        # and what has left the spool's incoming folder is in the ledger.
        latest = [
            replace(one, since=self._host_clock.shared(one.since))
            for one in self._acceptors.latest_objects()
        ]
        sent = [*latest, *self._registrar.waiting_objects()]
        at = self._host_clock.shared(utc_now())
        sent += told_to_each_other(self._database, self._own_spool, sent, at=at)
        with self._database.reading() as session:
            quiet = self._settling.next_portion(session, patience=self._patience, at=at)
            complete = complete_studies(session, quiet, sent=sent, patience=self._patience, at=at)
            self._next_quiet = next_quiet(session, patience=self._patience, at=at)
        for study_id in complete:
            try:
                self._settle_one(study_id, sent, at)
            except DATABASE_TROUBLE:
                raise
            except Exception as error:  # one study must not keep the next from being analysed
                if study_id not in self._unsettled:
                    reason, where = type(error).__name__, f"study {study_id} of the ledger"
                    log.exception("settling_failed", reason=reason, detail=where)
                self._unsettled.add(study_id)
            else:
                self._unsettled.discard(study_id)

    def _settle_one(self, study_id: int, sent: Collection[SentObject], at: datetime) -> None:
        # Before the transaction: headers are read for the rules, and nobody waits for that.
        with self._database.reading() as session:
            decided = self._router.decided(session, study_id, at=at)
        # One transaction for each, so that nobody waits for all of them.
        with self._database.writing() as session:
            study = settle_if_complete(
                session,
                study_id,
                sent=sent,
                patience=self._patience,
                at=at,
                due_at=database_time(session),
                decided=decided,
            )
        if study is not None:
            self._work_is_due.set()
            rule = DEFAULT_ROUTE.rule if decided is None else decided.route.rule
            log.info(
                "study_settled",
                study=study.study_instance_uid,
                revision=study.revision,
                detail=f"rule {rule}",
            )

    def _dispatch(self) -> None:
        self._work_is_due.clear()
        is_tick = time.monotonic() >= self._next_tick
        if is_tick:
            self._next_tick = time.monotonic() + _TICK_SECONDS
        if not self._ledger_ready.is_set():
            return
        at, began = self._database.now(), time.thread_time()
        self._believes(at)  # seen here also while nothing asks how old something is
        if is_tick:
            self._dispatcher.tick(at)
        else:
            self._dispatcher.notify(at)
        # Beside a large backlog each time costs more: then there are fewer of them.
        spent = time.thread_time() - began
        self._next_look = time.monotonic() + _REST * spent

    def _prove(self) -> None:
        if self._ledger_ready.is_set():
            self._prover.tick()

    def _find_images(self) -> None:
        if self._ledger_ready.is_set():
            self._images.tick()

    def _store(self) -> None:
        while self._ledger_ready.is_set() and not self._stopping.is_set():
            if not self._uploads.step():
                return

    def _wait_for_tick(self) -> None:
        self._stopping.wait(_TICK_SECONDS)

    def _report(self) -> None:
        if self._ledger_ready.is_set():
            self._reports.tick()

    def _send_canary(self) -> None:
        if self._ledger_ready.is_set():
            run_if_due(self._settings, self._database, stopping=self._stopping)

    def _wait_for_arrival(self) -> None:
        self._arrived.wait(_TICK_SECONDS)

    def _wait_for_quiet(self) -> None:
        """Wait until the next study may be complete, but no longer than until the next tick."""
        # A study that comes meanwhile is quiet no sooner than its patience from now.
        patience = min(self._patience.idle, self._patience.grace).total_seconds()
        left = min(patience, _TICK_SECONDS)
        if self._next_quiet is not None:
            at = self._host_clock.shared(utc_now())
            left = min((self._next_quiet - at).total_seconds() + _CLOCK_SECONDS, left)
        self._stopping.wait(max(left, _LOOK_SECONDS))

    def _wait_for_work(self) -> None:
        """Wait until there is new work, from settling or from a worker, or for the next tick."""
        self._stopping.wait(min(self._next_look, self._next_tick) - time.monotonic())
        while (left := self._next_tick - time.monotonic()) > 0:
            if self._has_new_work() or self._work_is_due.wait(min(left, _LOOK_SECONDS)):
                return

    def _has_new_work(self) -> bool:
        try:
            return self._ledger_ready.is_set() and self._dispatcher.has_new_work()
        except DATABASE_TROUBLE:
            return False  # the next tick says so
