"""State of one worker process between tasks: settings, ledger, spool, and the loaded model."""

import os
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.model_bundle import findings_of, pass_licence_gate
from dicom_node.settings.rules import DEFAULT_BUNDLE
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.due.due_work import Work, put_off
from dicom_node.studies.ledger.due.pauses import Holds, pauses
from dicom_node.studies.ledger.due.standstill import end_standstill, note_standstill
from dicom_node.studies.ledger.due.work import Claim, claim, renew
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.schema import OtherSchemaError
from dicom_node.studies.ledger.spools import leave_to_others, why_unreached
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.off_peak import off_peak_of
from dicom_node.studies.reach import Reach, UnreachedSpoolError
from mammoclip_core.manifest import Manifest
from worker.analyze.models import FurtherModels, Model, load_engine_of
from worker.deliver.lanes import Lanes
from worker.settings_at_start import settings_at_start
from worker.site_faults import SiteFaults
from worker.stages import Stage, StageDeadlines

if TYPE_CHECKING:
    from dicom_node.routing.rules import Rules
    from mammoclip_core.analysis.engine import Engine
    from mammoclip_core.images.decoding.decoding_pool import DecodingPool

log = structlog.get_logger("worker.runtime")


@dataclass
class Runtime:
    """Settings, ledger, spool and model of one process; created at its first task."""

    settings: Settings
    generator: random.Random = field(default_factory=random.Random)
    unknown_destinations: set[str] = field(default_factory=set)
    """Destinations of messages that this process cannot send to, and has said so."""
    left_to_others: set[str] = field(default_factory=set)
    """Why work was left to other workers, as this process has said."""
    analysing: Claim | None = None
    """The analysis under way in this process."""
    may_stand_still: bool = True
    """Whether the ledger may say of a fault of the site that was found here, or before."""

    @cached_property
    def database(self) -> Database:
        """Return the ledger's database."""
        database = Database(self.settings.ledger_url)
        database.require_schema()
        return database

    @cached_property
    def spool(self) -> Spool:
        """Return the spool that the node writes to."""
        return Spool(self.settings.spool)

    @cached_property
    def reach(self) -> Reach:
        """Return what finds the files of rows in the spools that this host sees."""
        return Reach(self.spool, self.settings.other_spools, self.settings.store)

    @cached_property
    def manifest(self) -> Manifest:
        """Return the manifest of the bundle; raise SettingsError unless its terms are accepted."""
        return pass_licence_gate(self.settings.model)

    @cached_property
    def decoding(self) -> "DecodingPool":
        """Return the processes that decode images; they start with the first image."""
        from mammoclip_core.images.decoding.decoding_pool import DecodingPool

        # An image that hangs, twice, leaves the stage time for the others.
        return DecodingPool(
            longest_seconds=self.settings.work.stage_deadline(1) / 3,
            note=lambda how: log.warning("decoder_ended", reason=how),
        )

    @cached_property
    def engine(self) -> "Engine":
        """Load the model of [model], once in each process."""
        try:
            return load_engine_of(self.settings.model, self.manifest, self.decoding.read_image)
        except Exception:
            # The next bundle in this place has a manifest, and terms, of its own.
            vars(self).pop("manifest", None)
            raise

    @cached_property
    def further_models(self) -> FurtherModels:
        """Return the models of [bundles]."""
        return FurtherModels(self.settings, lambda: self.decoding.read_image)

    def model(self, bundle: str) -> Model:
        """Return the model of a bundle, loaded once in each process.

        Raises
        ------
        RouteFaultError
            It is one of [bundles], and cannot be used.
        """
        if bundle == DEFAULT_BUNDLE:
            return Model(self.manifest, self.engine)
        if not self.further_models.is_loaded(bundle):
            self.stages.enter(Stage.LOADING, self.settings.work.loading_seconds)
        return self.further_models.of(bundle)

    @cached_property
    def rules(self) -> "Rules":
        """Return the rules of the site; raise SettingsError if one is wrong."""
        from dicom_node.routing.checking import rules_of

        return rules_of(
            self.settings, findings_of(self.settings) if self.settings.result_rules else None
        )

    @cached_property
    def site(self) -> SiteFaults:
        """Return what is wrong with the site, as far as this process knows."""
        return SiteFaults(look=self._look)

    @cached_property
    def lanes(self) -> Lanes:
        """Return what sends beside the tasks of this process."""
        return Lanes(self.put_off)

    def put_off(self, delivery_id: int, seconds: float) -> None:
        """Have a delivery begun later, by whichever worker is told of it then."""
        with self.database.writing() as session:
            at = database_time(session)
            put_off(session, Delivery, delivery_id, at=at, wait=timedelta(seconds=seconds))

    def _look(self) -> None:
        """Raise the error of what keeps every study of this site from being analysed."""
        self.database.now()
        _ = self.engine
        if self.settings.result_rules:
            _ = self.rules
        self.spool.require_usable()

    @cached_property
    def stages(self) -> StageDeadlines:
        """Return what holds the stages of this process's work to their deadlines."""
        return StageDeadlines()

    @property
    def holder(self) -> str:
        """Return the name under which this process holds leases."""
        # Cut here and not by the column, so that the number of the process stays.
        return f"{socket.gethostname()[:96]}:{os.getpid()}"

    def holds(self, session: Session) -> Holds:
        """Return what must not begin now."""
        return Holds(
            pauses=pauses(session),
            is_off_peak=off_peak_of(self.settings)(database_time(session)),
            destinations=self.settings.destination_names,
            unreached=self.reach.look(session),
        )

    def stand_still(self, analysis_id: int, why: str) -> None:
        """Enter at an analysis which fault of the site keeps it waiting, if the ledger answers."""
        self.may_stand_still = True
        # Whoever reads the ledger while it does not answer learns of it at once.
        with suppress(NodeError, DATABASE_TROUBLE), self.database.writing() as session:
            at = database_time(session)
            note_standstill(session, analysis_id, why, holder=self.holder, at=at)

    def go_on(self) -> None:
        """Take back what the ledger says of a fault of the site that has ended."""
        if self.may_stand_still:
            with self.database.writing() as session:
                end_standstill(session)
            self.may_stand_still = False

    @contextmanager
    def leased(self, table: type[Work], work_id: int) -> Iterator[tuple[Claim, Work] | None]:
        """Hold a lease on a piece of work, or on what is more urgent, renewed by heartbeat.

        Yields None if nothing is to be done: it is not due, or is paused.

        Raises
        ------
        RuntimeError
            The system starts no further thread; nothing is held.
        """
        claims: list[Claim] = []
        with self._beating(table, claims):
            taken = self._claimed(table, work_id)
            if taken is None:
                yield None
                return
            claims.append(taken[0])
            if table is Analysis:
                self.analysing = taken[0]
            try:
                yield taken
            finally:
                if table is Analysis:
                    self.analysing = None

    def _claimed(self, table: type[Work], work_id: int) -> tuple[Claim, Work] | None:
        lease = timedelta(seconds=self.settings.work.lease_seconds)
        # Committed before the work begins: other workers see the claim, and minutes of computing
        # hold no lock on the ledger.
        with self.database.writing() as session:
            at = database_time(session)  # a lease ends at one moment for all hosts
            holds = self.holds(session)
            taken = claim(
                session,
                table,
                work_id,
                holder=self.holder,
                lease=lease,
                at=at,
                holds=holds,
            )
            if taken is None and holds.unreached:
                self._leave(leave_to_others(session, table, work_id, holds.unreached, at=at))
        return taken

    def away_from(self, table: type[Work], work_id: int) -> str:
        """Say which spool of a piece of work this process does not reach any more, if any."""
        with self.database.reading() as session:
            row = session.get_one(table, work_id)
            return why_unreached(session, row, self.reach.look(session))

    def require_reached(self, table: type[Work], work_id: int) -> None:
        """Make sure that the spools of a piece of work are reached; raises UnreachedSpoolError."""
        if away := self.away_from(table, work_id):
            raise UnreachedSpoolError(away)

    def _leave(self, reason: str) -> None:
        """Say once that work waits for another worker."""
        if reason and reason not in self.left_to_others:
            self.left_to_others.add(reason)
            log.warning("spool_unreached", reason=reason)

    @contextmanager
    def _beating(self, table: type[Work], claims: Sequence[Claim]) -> Iterator[None]:
        """Renew claims from a thread: the task itself is busy for longer than a lease lasts."""
        stop = threading.Event()
        heart = threading.Thread(
            target=self._beat, args=(table, claims, stop), name="heartbeat", daemon=True
        )
        # Before the claim: without a heartbeat nothing may be held.
        heart.start()
        try:
            yield
        finally:
            stop.set()
            heart.join()

    def _beat(self, table: type[Work], claims: Sequence[Claim], stop: threading.Event) -> None:
        lease = timedelta(seconds=self.settings.work.lease_seconds)
        while not stop.wait(self.settings.work.heartbeat_seconds):
            if self.stages.has_passed:
                return
            try:
                # Overtaken: the attempt finds that out itself when it records its end.
                if not all(self._renewed(table, held, lease) for held in claims):
                    return
            except OtherSchemaError:
                # The node was upgraded: whoever knows the new schema takes over when it is lost.
                return
            # A lease lasts two heartbeats or more, so the next one may still be in time.
            except DATABASE_TROUBLE as error:
                log.warning("heartbeat_missed", reason=type(error).__name__)

    def _renewed(self, table: type[Work], held: Claim, lease: timedelta) -> bool:
        with self.database.writing() as session:
            return renew(session, table, held, until=database_time(session) + lease)


_runtimes: dict[int, Runtime] = {}


def runtime() -> Runtime:
    """Return this process's runtime; a forked child creates its own."""
    pid = os.getpid()
    if pid not in _runtimes:
        _runtimes[pid] = Runtime(settings_at_start())
    return _runtimes[pid]


def present_runtime() -> Runtime | None:
    """Return this process's runtime if a task has made one."""
    return _runtimes.get(os.getpid())
