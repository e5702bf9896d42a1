"""Enters, finds and changes the workitems that a node performs."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.procedure_steps.tables import (
    OPEN_STATES,
    Workitem,
    WorkitemState,
)

_REFUSED_FOR: Final = timedelta(hours=1)
_FORGOTTEN_AFTER: Final = timedelta(days=90)
_FORGETTABLE: Final = (WorkitemState.REFUSED, WorkitemState.LOST)


def workitem_of(session: Session, workitem_uid: str) -> Workitem | None:
    """Return what the ledger knows of a workitem."""
    return session.scalars(select(Workitem).where(Workitem.workitem_uid == workitem_uid)).first()


def settled_among(session: Session, uids: Collection[str], *, at: datetime) -> set[str]:
    """Return those workitems that need no further look now."""
    query = select(Workitem).where(Workitem.workitem_uid.in_(uids))
    return {
        row.workitem_uid
        for row in session.scalars(query)
        if row.state != WorkitemState.REFUSED or row.due_at > at
    }


def open_workitems(session: Session, spool_id: int) -> list[Workitem]:
    """List the workitems of one node of which the server is still to be told something."""
    query = select(Workitem).where(Workitem.state.in_(OPEN_STATES), Workitem.spool_id == spool_id)
    order = (Workitem.priority.desc(), Workitem.id)
    return list(session.scalars(query.order_by(*order)))


def is_shared(session: Session, row: Workitem) -> bool:
    """Return whether another open workitem is about the same study."""
    query = select(func.count(Workitem.id)).where(
        Workitem.study_instance_uid == row.study_instance_uid,
        Workitem.state.in_(OPEN_STATES),
        Workitem.id != row.id,
    )
    return bool(session.scalar(query))


def note_refused(session: Session, workitem_uid: str, reason: str, *, at: datetime) -> bool:
    """Note that a workitem is left for others; return whether this is new.

    It is looked at again after an hour, for it may have been changed. One that another node before
    this ledger has claimed meanwhile is left to that.
    """
    row = _locked(session, workitem_uid)
    if row is not None and row.state != WorkitemState.REFUSED:
        return False
    is_new = row is None or row.reason != reason
    if row is None:
        row = Workitem(workitem_uid=workitem_uid, seen_at=at, due_at=at, state="")
        session.add(row)
    row.state, row.reason, row.due_at = WorkitemState.REFUSED, reason, at + _REFUSED_FOR
    return is_new


def enter_claim(
    session: Session,
    workitem_uid: str,
    *,
    transaction_uid: str,
    spool_id: int,
    study_instance_uid: str,
    inputs: Sequence[str],
    patient_digest: str,
    code: Sequence[str],
    priority: int,
    at: datetime,
) -> Workitem | None:
    """Enter a workitem that is about to be claimed; None if the ledger has it already."""
    row = _locked(session, workitem_uid)
    if row is not None and row.state != WorkitemState.REFUSED:
        return None
    if row is None:
        row = Workitem(workitem_uid=workitem_uid, seen_at=at)
        session.add(row)
    row.state, row.reason, row.due_at = WorkitemState.CLAIMING, "", at
    row.transaction_uid, row.spool_id = transaction_uid, spool_id
    row.study_instance_uid, row.patient_digest = study_instance_uid, patient_digest
    row.inputs, row.code, row.priority = json.dumps([*inputs]), json.dumps([*code]), priority
    session.flush()
    return row


def change(session: Session, row: Workitem, **changes: Any) -> None:
    """Change columns of a workitem, and in the object that was read before.

    Raises
    ------
    OvertakenError
        It is in another state since it was read, as where its study was erased meanwhile.
    """
    moved = session.execute(
        update(Workitem)
        .where(Workitem.id == row.id, Workitem.state == row.state)
        .values(**changes)
        .execution_options(synchronize_session=False)
        .returning(Workitem.id)
    ).first()
    if moved is None:
        raise OvertakenError(
            f"workitem {row.workitem_uid} is not {row.state} any more: read it again"
        )
    for name, value in changes.items():
        setattr(row, name, value)


def note_cancel_asked(session: Session, workitem_uid: str) -> bool:
    """Note that somebody asks to cancel a workitem; return whether the node has it."""
    row = _locked(session, workitem_uid)
    if row is None or row.state not in OPEN_STATES or row.cancel_asked:
        return False
    row.cancel_asked = True
    return True


def forget_old(session: Session, *, at: datetime) -> None:
    """Delete what is known of workitems that others perform, after a quarter of a year."""
    session.execute(
        delete(Workitem)
        .where(Workitem.state.in_(_FORGETTABLE), Workitem.due_at < at - _FORGOTTEN_AFTER)
        .execution_options(synchronize_session=False)
    )


def erase_workitems(session: Session, study_instance_uid: str, *, at: datetime) -> None:
    """Forget what workitems say of a study; those that are held are canceled."""
    of_study = Workitem.study_instance_uid == study_instance_uid
    for states, changes in (
        (
            (WorkitemState.CLAIMING, WorkitemState.HELD, WorkitemState.COMPLETING),
            {
                "state": WorkitemState.CANCELING,
                "reason": "the study was erased at the node",
                "discontinuation": "110513",
                "ended_at": at,
            },
        ),
        (tuple(WorkitemState), {"study_instance_uid": "", "inputs": "[]", "patient_digest": ""}),
    ):
        session.execute(
            update(Workitem)
            .where(of_study, Workitem.state.in_(states))
            .values(**changes)
            .execution_options(synchronize_session=False)
        )


def _locked(session: Session, workitem_uid: str) -> Workitem | None:
    """Lock what the ledger knows of a workitem, and read it anew."""
    query = select(Workitem).where(Workitem.workitem_uid == workitem_uid).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).first()
