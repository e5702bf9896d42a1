"""Asks the destinations for what they have accepted, each in a thread of its own."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from dicom_node.errors import NotOfferedError
from dicom_node.proof.commitment import CommitmentRound, no_word
from dicom_node.proof.query import confirm_by_query
from dicom_node.proof.reports import ReportJudge
from dicom_node.proof.verdicts import Judge
from dicom_node.send.commitment import STAYS_SECONDS
from dicom_node.send.destinations import asker_for
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import ArchiveDestination, DicomDestination
from dicom_node.spool.messages.reports import Reports
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.due.pauses import Holds, Paused, pauses
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.proof.late_proofs import Position, late_proofs, want_proof
from dicom_node.studies.ledger.proof.proofs import (
    ProofClaim,
    begin_proof,
    due_proofs,
    want_no_proof,
)
from dicom_node.studies.ledger.tables import Delivery

log = structlog.get_logger("dicom_node.proof")

_MOST_DELIVERIES: Final = 10
"""So many a destination is asked about in one association."""

_MOST_COMMITMENT_ATTEMPTS: Final = 3
"""Requests for storage commitment before a destination is asked otherwise, where that is wanted."""

_LOST_AFTER: Final = timedelta(minutes=10)
"""When a question is asked again of which nothing more was heard, as of a killed node's."""

_LAST_WAIT_SECONDS: Final = 10.0


class Prover:
    """Asks the destinations that are to prove what they have accepted.

    A destination that keeps silent holds up its own thread and nobody else's. What is killed in
    between is asked again: the ledger knows when.

    Parameters
    ----------
    stays_seconds : how long an association stays open for a report on storage commitment over it
    believes : whether what is old by the ledger's clock is old; by default it always is
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        reports: Reports,
        *,
        stays_seconds: float = STAYS_SECONDS,
        believes: Callable[[datetime], bool] = lambda _: True,
    ) -> None:
        self._settings = settings
        self._database = database
        self._reports = reports
        self._stays_seconds = stays_seconds
        self._believes = believes
        self._judge = ReportJudge(settings, database, reports, believes=believes)
        self._stopping = threading.Event()
        self._asking: dict[str, threading.Thread] = {}
        self._former: dict[str, Position] = {}
        self._looked_through: set[str] = set()

    def tick(self) -> None:
        """Judge what was reported, and begin to ask about what is due; wait for no destination."""
        self._judge.judge_all()
        for destination in self._settings.destinations:
            if destination.confirm == "none":
                # It was to prove something, and is not any more.
                name = destination.name
                if name not in self._looked_through or self._is_due(name):
                    with self._database.writing() as session:
                        want_no_proof(session, name)
                    self._looked_through.add(name)
                continue
            if destination.name not in self._looked_through:
                self._ask_for_former(destination.name)
            running = self._asking.get(destination.name)
            if (running is None or not running.is_alive()) and self._is_due(destination.name):
                name = f"proof {destination.name}"
                thread = threading.Thread(
                    target=self._serve, args=(destination,), name=name, daemon=True
                )
                thread.start()
                self._asking[destination.name] = thread

    def stop(self) -> None:
        """Begin nothing more, and wait a while for what is being asked."""
        self._stopping.set()
        for thread in self._asking.values():
            thread.join(_LAST_WAIT_SECONDS)

    def _ask_for_former(self, name: str) -> None:
        """Have a portion asked for of what was accepted before the settings wanted proof.

        Settings change by a restart, so that all is looked through once by each process; the next
        portion when the destination was asked for the last.
        """
        with self._database.reading() as session:
            if due_proofs(session, name, at=database_time(session), limit=1):
                return
            ids, position = late_proofs(session, name, after=self._former.get(name))
        if ids:
            with self._database.writing() as session:
                count = want_proof(session, ids, at=database_time(session))
            log.info("former_deliveries_asked", destination=name, count=count)
        if position is None:
            self._looked_through.add(name)
        else:
            self._former[name] = position

    def _is_due(self, name: str) -> bool:
        with self._database.reading() as session:
            holds = Holds(pauses=pauses(session))
            if holds.stop(Delivery) or holds.on(Paused.DESTINATION, name):
                return False
            return bool(due_proofs(session, name, at=database_time(session), limit=1))

    def _serve(self, destination: ArchiveDestination) -> None:
        try:
            while not self._stopping.is_set() and self._is_due(destination.name):
                self.ask(destination)
        # The next tick begins again, with what the ledger says then.
        except DATABASE_TROUBLE as error:
            log.warning("proof_interrupted", reason=type(error).__name__)
        except Exception as error:  # the outermost frame of this thread
            log.exception("proof_failed", destination=destination.name, reason=type(error).__name__)

    def ask(self, destination: ArchiveDestination) -> None:
        """Ask a destination once about some of the deliveries that are due."""
        claims = self._claims(destination.name)
        if not claims:
            return
        judge = Judge(
            destination=destination,
            retry=self._settings.retry,
            database=self._database,
            believes=self._believes,
        )
        if isinstance(destination, DicomDestination) and destination.asks_for_commitment:
            claims = self._ask_for_commitment(destination, judge, claims)
        if claims:
            asker = asker_for(
                destination,
                calling_ae_title=self._settings.receive.ae_title,
                tls=self._settings.tls,
            )
            confirm_by_query(asker, judge, claims)

    def _ask_for_commitment(
        self, destination: DicomDestination, judge: Judge, claims: list[ProofClaim]
    ) -> list[ProofClaim]:
        """Ask for storage commitment; return the deliveries that are to be asked for otherwise."""
        by_query: list[ProofClaim] = []
        if destination.confirm == "commitment-or-query":
            # One that offers it and never commits anything is asked otherwise in the end.
            by_query = [one for one in claims if one.attempt > _MOST_COMMITMENT_ATTEMPTS]
            claims = [one for one in claims if one not in by_query]
        if not claims:
            return by_query
        try:
            CommitmentRound(
                destination, self._settings, self._reports, judge, self._stays_seconds
            ).ask(claims)
        except NotOfferedError as error:
            if destination.confirm == "commitment-or-query":
                return by_query + claims
            for held in claims:
                judge.settle(held, no_word(str(error)))
        return by_query

    def _claims(self, name: str) -> list[ProofClaim]:
        with self._database.reading() as session:
            ids = due_proofs(session, name, at=database_time(session), limit=_MOST_DELIVERIES)
        claims = []
        for delivery_id in ids:
            with self._database.writing() as session:
                at = database_time(session)
                held = begin_proof(session, delivery_id, at=at, until=at + _LOST_AFTER)
            if held is not None:
                claims.append(held)
        return claims
