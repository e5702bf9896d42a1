"""What of a spool is copied to the store, and what is to be deleted there."""

from collections.abc import Collection
from enum import IntEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, literal_column, select, update
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject, Study


class Stored(IntEnum):
    """Whether a file is in the store; the column of images and results."""

    NOT = 0
    """It is not, and nobody wants it to be."""
    WANTED = 1
    """The node of its spool is to put it there."""
    COPY = 2
    """It is there as well as in the spool."""
    ONLY = 3
    """It is there alone: a result that a worker on another host has made."""


IN_STORE: Final = (int(Stored.COPY), int(Stored.ONLY))

# Literals and no parameters: only so does SQLite see that a partial index holds the answer.
_WANTED: Final[ColumnElement[int]] = literal_column(str(int(Stored.WANTED)))
_THERE: Final[ColumnElement[int]] = literal_column(str(int(Stored.COPY)))


def images_to_store(session: Session, spool_id: int, *, limit: int) -> list[Instance]:
    """List images that are to be copied to the store, the newest first."""
    query = select(Instance).where(
        Instance.stored == _WANTED,
        Instance.spool_id == spool_id,
        Instance.state.in_((InstanceState.REGISTERED, InstanceState.SET_ASIDE)),
        Instance.place != "",
        Instance.removed_at.is_(None),
    )
    return list(session.scalars(query.order_by(Instance.id.desc()).limit(limit)))


def results_to_store(session: Session, spool_id: int, *, limit: int) -> list[ResultObject]:
    """List results that are to be copied to the store, the newest first."""
    query = (
        select(ResultObject)
        .join(Analysis)
        .join(Study)
        .where(
            ResultObject.stored == _WANTED,
            Study.spool_id == spool_id,
            ResultObject.place != "",
            ResultObject.removed_at.is_(None),
        )
    )
    return list(session.scalars(query.order_by(ResultObject.id.desc()).limit(limit)))


def images_to_delete_there(session: Session, spool_id: int, *, limit: int) -> list[int]:
    """List the ids of images whose files are gone from the spool and not from the store."""
    query = select(Instance.id).where(
        Instance.stored >= _THERE,
        Instance.spool_id == spool_id,
        Instance.place == literal_column("''"),
    )
    return list(session.scalars(query.order_by(Instance.id).limit(limit)))


def analyses_to_delete_there(session: Session, spool_id: int, *, limit: int) -> list[int]:
    """List analyses whose results are removed and not yet from the store."""
    query = (
        select(ResultObject.analysis_id)
        .join(Analysis)
        .join(Study)
        .where(
            ResultObject.stored >= _THERE,
            Study.spool_id == spool_id,
            ResultObject.place == literal_column("''"),
        )
        .distinct()
    )
    return list(session.scalars(query.order_by(ResultObject.analysis_id).limit(limit)))


def note_stored(session: Session, row: Instance | ResultObject, stored: Stored) -> None:
    """Record that a file was copied to the store, or that there is none to copy."""
    table = type(row)
    session.execute(
        update(table)
        .where(table.id == row.id, table.stored == int(Stored.WANTED))
        .values(stored=int(stored))
        .execution_options(synchronize_session=False)
    )


def note_deleted_there(
    session: Session, *, instances: Collection[int] = (), analyses: Collection[int] = ()
) -> None:
    """Record that files were deleted from the store."""
    for table, which in (
        (Instance, Instance.id.in_(instances)),
        (ResultObject, ResultObject.analysis_id.in_(analyses)),
    ):
        session.execute(
            update(table)
            .where(which)
            .values(stored=int(Stored.NOT))
            .execution_options(synchronize_session=False)
        )


def lacks_a_copy(spools: Collection[int], study_id: Any) -> ColumnElement[bool]:
    """Return the condition that an image of a study in one of these spools is not stored yet."""
    return (
        select(Instance.id)
        .where(
            Instance.study_id == study_id,
            Instance.spool_id.in_(spools),
            Instance.place != "",
            Instance.stored.not_in(IN_STORE),
        )
        .exists()
    )
