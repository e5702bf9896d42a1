"""Which studies' files may be removed, and the rows that say that they were.

A file is removed in three steps: its row says so, the file is deleted, the row's place is emptied.
After a crash between two of them the row tells what is left to do.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, or_, select, tuple_, update
from sqlalchemy.orm import Session

from dicom_node.routing.route import is_sent_nowhere
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.proof.proofs import owes_proof
from dicom_node.studies.ledger.queries.remarks import has_nothing_to_analyse
from dicom_node.studies.ledger.shadows import UNFINISHED
from dicom_node.studies.ledger.site_tables import ShadowAnalysis
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    Event,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, ResultObject, Study
from dicom_node.studies.ledger.transitions import apply

WINDOW: Final = 500
"""Studies that one look judges."""

_ACCEPTED: Final = frozenset({DeliveryState.ACCEPTED})
_CONFIRMED: Final = frozenset({DeliveryState.CONFIRMED, DeliveryState.COMMITTED})
_GIVEN_UP: Final = frozenset({DeliveryState.REFUSED, DeliveryState.EXPIRED})

Position = tuple[datetime, int]
"""When a study received its last object, and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A study whose files nobody needs any more.

    Attributes
    ----------
    finished_at : when the last thing befell it
    was_delivered : False if nothing of it could be analysed
    """

    study_id: int
    finished_at: datetime
    was_delivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A study whose files are to be deleted, with the size of its images in its own spool."""

    study_instance_uid: str
    size_bytes: int


def files_may_go(state: DeliveryState, *, needs_confirmation: bool) -> bool:
    """Return whether a delivery in this state needs the files of its study no more.

    Parameters
    ----------
    needs_confirmation : whether its destination is to prove what it has accepted
    """
    return state in (_CONFIRMED if needs_confirmation else _ACCEPTED | _CONFIRMED)


def finished_studies(
    session: Session,
    spool_id: int,
    *,
    confirming: Collection[str],
    received_before: datetime,
    after: Position | None = None,
) -> tuple[list[Finished], Position | None]:
    """Judge the studies with files, those that received nothing for longest first.

    Parameters
    ----------
    spool_id : of the node that judges: that of each study which got its first object
    confirming : names of destinations whose acceptance does not suffice
    after : where a former look ended

    Returns
    -------
    finished, position
        Of at most WINDOW studies; and where this look ended, None if it was the last.
    """
    query = (
        select(Study)
        .where(
            *_with_files(), Study.spool_id == spool_id, Study.last_received_at <= received_before
        )
        .order_by(Study.last_received_at, Study.id)
        .limit(WINDOW)
    )
    if after is not None:
        query = query.where(tuple_(Study.last_received_at, Study.id) > after)
    studies = list(session.scalars(query))
    last = studies[-1] if len(studies) == WINDOW else None
    position = None if last is None else (last.last_received_at, last.id)
    return _judged(session, studies, confirming), position


def mark_study(
    session: Session,
    study_id: int,
    *,
    confirming: Collection[str],
    finished_before: datetime,
    because: str,
    at: datetime,
    is_being_read: Callable[[str], bool] = lambda _: False,
) -> Removed | None:
    """Decide to remove the files of a study, if it is still finished; None if they stay.

    Parameters
    ----------
    is_being_read : whether a command reads the folder of a file at this place
    """
    query = select(Study).where(Study.id == study_id, *_with_files())
    # Whoever holds it is changing it: then it is not finished.
    study = session.scalars(locking(query, skip_locked=True)).first()
    if study is None:
        return None
    found = _judged(session, [study], confirming)
    if not found or found[0].finished_at > finished_before:
        return None
    query_of_images = select(Instance).where(
        Instance.study_id == study.id, Instance.state == InstanceState.REGISTERED
    )
    images = session.scalars(locking(query_of_images.order_by(Instance.id))).all()
    if any(is_being_read(place) for place in {row.place for row in images}):
        return None
    for image in images:
        apply(session, image, Event.REMOVE, because=because, at=at, removed_at=at)
    of_study = select(Analysis.id).where(Analysis.study_id == study.id)
    session.execute(
        update(ResultObject)
        .where(ResultObject.analysis_id.in_(of_study), ResultObject.removed_at.is_(None))
        .values(removed_at=at)
        .execution_options(synchronize_session=False)
    )
    study.version += 1
    study.removed_at, study.removed_because = at, because
    return Removed(
        study_instance_uid=study.study_instance_uid,
        size_bytes=sum(row.size_bytes for row in images if row.spool_id == study.spool_id),
    )


def mark_set_aside(
    session: Session,
    spool_id: int,
    *,
    received_before: datetime,
    because: str,
    at: datetime,
    limit: int,
) -> int:
    """Decide to remove files of a spool that were set aside long ago; return their number."""
    query = (
        select(Instance)
        .where(
            in_states(Instance, InstanceState.SET_ASIDE),
            Instance.spool_id == spool_id,
            Instance.removed_at.is_(None),
            Instance.place != "",
            Instance.received_at <= received_before,
            # What was promised to its sender before a note rejected it.
            or_(Instance.committed_at.is_(None), Instance.archived_at.is_not(None)),
        )
        .order_by(Instance.received_at, Instance.id)
        .limit(limit)
    )
    rows = session.scalars(locking(query, skip_locked=True)).all()
    for row in rows:
        apply(session, row, Event.REMOVE, because=because, at=at, removed_at=at)
    return len(rows)


def instances_to_delete(session: Session, spool_id: int, *, limit: int) -> list[Instance]:
    """List instances whose files in a spool are to be deleted."""
    query = select(Instance).where(
        Instance.removed_at.is_not(None), Instance.place != "", Instance.spool_id == spool_id
    )
    return list(session.scalars(query.order_by(Instance.id).limit(limit)))


def results_to_delete(session: Session, spool_id: int, *, limit: int) -> dict[int, list[int]]:
    """Return analyses with results to delete in a spool, each with those that go with it.

    Earlier attempts and revisions of the same study may have left files that no row names.
    """
    marked = (
        select(ResultObject.analysis_id)
        .join(Analysis)
        .join(Study)
        .where(
            ResultObject.removed_at.is_not(None),
            ResultObject.place != "",
            Study.spool_id == spool_id,
        )
        .distinct()
        .order_by(ResultObject.analysis_id)
        .limit(limit)
    )
    found: dict[int, list[int]] = {}
    for analysis in session.scalars(select(Analysis).where(Analysis.id.in_(marked))):
        earlier = select(Analysis.id).where(
            Analysis.study_id == analysis.study_id, Analysis.id <= analysis.id
        )
        found[analysis.id] = list(session.scalars(earlier))
    return found


def confirm_results_deleted(session: Session, analysis_ids: Collection[int]) -> None:
    """Record that the files of analyses' results are deleted."""
    session.execute(
        update(ResultObject)
        .where(ResultObject.analysis_id.in_(analysis_ids), ResultObject.removed_at.is_not(None))
        .values(place="")
        .execution_options(synchronize_session=False)
    )


def _with_files() -> tuple[ColumnElement[bool], ...]:
    return in_states(Study, StudyState.SETTLED), Study.removed_at.is_(None)


def _judged(
    session: Session, studies: Sequence[Study], confirming: Collection[str]
) -> list[Finished]:
    ids = [study.id for study in studies]
    busy = _with_needed_files(session, ids)
    analyses: defaultdict[int, list[Analysis]] = defaultdict(list)
    for analysis in session.scalars(
        select(Analysis).where(Analysis.study_id.in_(ids)).order_by(Analysis.revision)
    ):
        analyses[analysis.study_id].append(analysis)
    deliveries: defaultdict[int, list[Delivery]] = defaultdict(list)
    for delivery in session.scalars(
        select(Delivery).join(Analysis).where(Analysis.study_id.in_(ids))
    ):
        deliveries[delivery.analysis_id].append(delivery)
    judged = (
        _finished(study, analyses[study.id], deliveries, confirming)
        for study in studies
        if study.id not in busy
    )
    return [one for one in judged if one is not None]


def _with_needed_files(session: Session, study_ids: Collection[int]) -> set[int]:
    """Return the studies of which an image is on its way, promised to its sender, or to be read."""
    # Decided here and not by the database: SQLite would look for each state in all studies.
    query = select(
        Instance.study_id,
        Instance.state,
        Instance.place,
        Instance.committed_at,
        Instance.archived_at,
    ).where(Instance.study_id.in_(study_ids))
    needed: set[int] = set()
    for study_id, state, place, committed_at, archived_at in session.execute(query):
        on_the_way = bool(place) and state in {InstanceState.TAKEN_BACK, InstanceState.REPLACED}
        # The sender may have deleted its copy since, whatever a note has said of the image.
        is_promised = bool(place) and committed_at and not archived_at
        is_needed = state is InstanceState.RECEIVED or on_the_way or is_promised
        if study_id is not None and is_needed:
            needed.add(study_id)
    compared = (
        select(Analysis.study_id)
        .join(ShadowAnalysis, ShadowAnalysis.analysis_id == Analysis.id)
        .where(Analysis.study_id.in_(study_ids), ShadowAnalysis.state.in_(UNFINISHED))
    )
    return needed | set(session.scalars(compared))


def _finished(
    study: Study,
    analyses: Sequence[Analysis],
    deliveries: dict[int, list[Delivery]],
    confirming: Collection[str],
) -> Finished | None:
    if has_nothing_to_analyse(study.remark) and not analyses:
        return Finished(study_id=study.id, finished_at=study.last_received_at, was_delivered=False)
    # A remark says that it is held, as where a correction is not complete.
    if study.remark or not analyses or analyses[-1].state is not AnalysisState.DONE:
        return None
    newest = deliveries.get(analyses[-1].id, [])
    if not (newest or is_sent_nowhere(analyses[-1].rule, analyses[-1].route)) or not all(
        files_may_go(one.state, needs_confirmation=one.destination in confirming or owes_proof(one))
        for one in newest
    ):
        return None
    # What is under way of an earlier revision is sent from its files, and what an archive that is
    # asked turns out not to hold is sent again; what was given up is not.
    for analysis in analyses[:-1]:
        for one in deliveries.get(analysis.id, []):
            is_over = one.state in _GIVEN_UP | _ACCEPTED | _CONFIRMED
            if not is_over or one.proof_due_at is not None:
                return None
    ends = (analyses[-1].finished_at, *(one.finished_at for one in newest))
    return Finished(
        study_id=study.id,
        finished_at=max(study.last_received_at, *(end for end in ends if end is not None)),
        was_delivered=True,
    )
