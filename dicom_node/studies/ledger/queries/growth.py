"""How fast a spool fills and what of it could be removed, as far as the ledger knows the files."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.removal.removing import Position, finished_studies
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject, Study

PERIOD: Final = timedelta(days=7)
"""Over which arrivals are counted: with a week end, whatever day it is."""

_LONGEST_LOOK: Final = 20
"""Windows of studies that are judged: enough for the disk of a busy site."""

_SAMPLE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What came in the last days.

    Attributes
    ----------
    days : length of the period; shorter than PERIOD where the first study of the spool is younger
    studies : number of studies that received something
    size_bytes : of all that they received, removed since or not
    """

    days: float
    studies: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """Images of studies that nobody needs any more."""

    studies: int
    size_bytes: int


def arrivals(session: Session, spool_id: int, *, at: datetime) -> Arrivals:
    """Return what came into a spool in the days before a point of time."""
    since = at - PERIOD
    own = select(func.min(Study.last_received_at)).where(Study.spool_id == spool_id)
    counted = (
        select(
            func.count(Instance.study_id.distinct()),
            func.sum(Instance.size_bytes),
            func.min(Instance.received_at),
        )
        .join(Study)
        .where(
            Study.last_received_at > since,
            Instance.received_at > since,
            Instance.spool_id == spool_id,
        )
    )
    studies, size, came = session.execute(counted).one()
    # A node that was added to others has its own first day, be it with an image of their study.
    firsts = [one for one in (session.scalar(own), came) if one is not None]
    begin = max(since, min(firsts, default=since))
    # What came within an hour is no measure of a day's arrivals, but of a day's at least.
    days = max((at - begin) / timedelta(days=1), 1.0)
    return Arrivals(days=days, studies=studies, size_bytes=int(size or 0))


def newest_results(session: Session, spool_id: int) -> tuple[int, list[str]]:
    """Return places of a spool's newest result objects, and how many analyses these are of."""
    query = (
        select(ResultObject.analysis_id, ResultObject.place)
        .join(Analysis)
        .join(Study)
        .where(ResultObject.place != "", Study.spool_id == spool_id)
        .order_by(ResultObject.id.desc())
        .limit(_SAMPLE)
    )
    rows = session.execute(query).all()
    return len({analysis_id for analysis_id, _ in rows}), [place for _, place in rows]


def bytes_on_disk(session: Session, spool_id: int) -> int:
    """Return the size of all received objects whose files are in a spool."""
    query = select(func.sum(Instance.size_bytes)).where(
        Instance.place != "", Instance.spool_id == spool_id
    )
    return int(session.scalar(query) or 0)


def removable(
    session: Session, spool_id: int, *, confirming: Collection[str], finished_before: datetime
) -> Removable:
    """Return what a node could remove of studies that were delivered before a point of time."""
    ids: list[int] = []
    after: Position | None = None
    for _ in range(_LONGEST_LOOK):
        found, after = finished_studies(
            session,
            spool_id,
            confirming=confirming,
            received_before=finished_before,
            after=after,
        )
        ids += [
            one.study_id
            for one in found
            if one.was_delivered and one.finished_at <= finished_before
        ]
        if after is None:
            break
    size = 0
    for first in range(0, len(ids), 500):
        query = select(func.sum(Instance.size_bytes)).where(
            Instance.study_id.in_(ids[first : first + 500]),
            Instance.place != "",
            Instance.spool_id == spool_id,
        )
        size += int(session.scalar(query) or 0)
    return Removable(studies=len(ids), size_bytes=size)
