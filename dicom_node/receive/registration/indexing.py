"""Keeps the index of identifiers as the settings want it: filled from files, or empty."""

from collections.abc import Callable
from functools import cached_property
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.identifiers import Identifiers
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.identifiers.keeping import forget_all, noted
from dicom_node.studies.ledger.locks import require_locked
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from dicom_node.studies.own_spool import own_spool

log = structlog.get_logger("dicom_node.indexing")

PORTION: Final = 20
"""Files that one step reads."""
_LOOKED_AT: Final = 2000
_NO_KEY: Final = b"\0" * 32
"""Patients are compared with nobody here."""


class Indexing:
    """Enters what images say that were registered before there was an index, the newest first.

    Where no identifiers are wanted, it forgets those that were kept so far.

    Parameters
    ----------
    is_ready : whether the ledger has its tables
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        database: Database,
        *,
        is_ready: Callable[[], bool],
        headers: HeaderReader | None = None,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._database = database
        self._is_ready = is_ready
        self._headers = headers or HeaderReader()
        self._below: int | None = None
        self._is_finished = False
        self._count = 0

    @cached_property
    def _spool_id(self) -> int:
        return own_spool(self._spool, self._database)

    def step(self) -> None:
        """Look at a portion of the images; does nothing once all were looked at."""
        if self._is_finished or not self._is_ready():
            return
        if not self._settings.ledger.identifiers:
            with self._database.writing() as session:
                forget_all(session)
            self._is_finished = True
            return
        rows = self._next()
        wanted = [row for row in rows if row.identifiers_id is None and row.place][:PORTION]
        found = [(row.id, self._read(row)) for row in wanted]
        for instance_id, identifiers in found:
            if identifiers is not None:
                self._enter(instance_id, identifiers)
        if len(wanted) == PORTION:
            self._below = wanted[-1].id
        elif rows:
            self._below = rows[-1].id
        else:
            self._is_finished = True
            self._headers.close()
            if self._count:
                log.info("identifiers_indexed", count=self._count)

    def _next(self) -> list[Instance]:
        query = (
            select(Instance)
            .join(Study, Study.id == Instance.study_id)
            .where(
                Instance.state == InstanceState.REGISTERED,
                Instance.spool_id == self._spool_id,
                Study.study_instance_uid != CANARY_STUDY,
            )
        )
        if self._below is not None:
            query = query.where(Instance.id < self._below)
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(Instance.id.desc()).limit(_LOOKED_AT)))

    def _read(self, row: Instance) -> Identifiers | None:
        file = self._spool.file(row.place)
        if not file.is_file():
            return None
        reading = self._headers.read(
            file,
            identity_key=_NO_KEY,
            secondary_capture_senders=frozenset(),
            maximum_bytes=self._settings.receive.maximum_object_bytes,
        )
        facts = reading.facts
        return None if facts is None else facts.identifiers

    def _enter(self, instance_id: int, found: Identifiers) -> None:
        if found.is_empty:
            return
        with self._database.writing() as session:
            row = _locked(session, instance_id)
            # What was removed meanwhile says nothing any more.
            if row.place and row.identifiers_id is None and row.study_id is not None:
                row.identifiers_id = noted(session, row.study_id, found)
                self._count += 1


def _locked(session: Session, instance_id: int) -> Instance:
    """Lock an instance and before it its study, in the order of everybody."""
    study_id = session.scalars(select(Instance.study_id).where(Instance.id == instance_id)).one()
    require_locked(session, Study, study_id)
    return require_locked(session, Instance, instance_id)
