"""Finds studies by text, condition, sender and date, the newest first, a page at a time.

However many studies there are, a page reads a bounded number of rows: candidates come from an
index where the filter is rare, and else the studies are looked through from the newest on, up to
a bound. A page may then hold fewer studies than it could, and says where to go on.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.identifiers import folded
from dicom_node.studies.ledger.destinations.waits import Waits
from dicom_node.studies.ledger.identifiers.identifier_table import StudyIdentifiers
from dicom_node.studies.ledger.search.conditions import CONDITIONS, NEWEST, is_in, rare
from dicom_node.studies.ledger.states import StudyState
from dicom_node.studies.ledger.tables import Analysis, Study

MOST_CANDIDATES: Final = 2000
"""Studies that an index may name before the filter counts as one that is not rare."""

LOOKED_THROUGH: Final = 10_000
"""Studies that one page looks through at most."""

_FEW: Final = 200
"""Studies that are looked through first: nearly always that is enough."""

_LAST: Final = "\U0010ffff"
_SHORTEST_BEGINNING: Final = 2


class WrongFilterError(NodeError):
    """A filter or a cursor is none; the message holds no value, which may be about a patient."""

    reason = "wrong-filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFilter:
    """Which studies are wanted; what is empty or None asks for nothing.

    Attributes
    ----------
    text : accession number, patient ID, name or Study Instance UID, whole or its beginning
    accession_number : whole
    condition : one of `CONDITIONS`
    sender : AE title, whole
    since, before : bounds of when the last object was received, half-open
    """

    text: str = ""
    accession_number: str = ""
    condition: str = ""
    sender: str = ""
    since: datetime | None = None
    before: datetime | None = None

    def __post_init__(self) -> None:
        if self.condition and self.condition not in CONDITIONS:
            raise WrongFilterError(f"the state is none of {', '.join(CONDITIONS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudies:
    """One page.

    Attributes
    ----------
    cursor : where the next page begins; empty at the end
    is_cut : whether more studies match the text than are looked at: a longer one helps
    """

    studies: Sequence[Study]
    cursor: str
    is_cut: bool = False


def find_studies(
    session: Session,
    wanted: StudyFilter,
    *,
    limit: int,
    cursor: str = "",
    destinations: frozenset[str] | None = None,
) -> FoundStudies:
    """Return a page of studies, most recently received first.

    Parameters
    ----------
    cursor : of the page before; empty: the first page
    destinations : names of those in the settings; None if they are not known

    Raises
    ------
    WrongFilterError
        The cursor is none.
    """
    # What an index has in its order, and what has to be looked at in each study.
    in_order = [*_dated(wanted), *_below(cursor)]
    looked_at: list[ColumnElement[bool]] = []
    if wanted.sender:
        looked_at.append(Study.calling_ae_title == wanted.sender)
    if wanted.condition:
        looked_at.append(is_in(wanted.condition, _withheld(session, destinations)))
    matching = select(Study).outerjoin(Analysis, NEWEST).where(*in_order, *looked_at)
    page = _newest_first(matching).limit(limit + 1)
    is_cut = False
    candidates: set[int] | None = None
    if wanted.text or wanted.accession_number:
        candidates = _named(session, wanted)
        is_cut = len(candidates) > MOST_CANDIDATES
        candidates = set(sorted(candidates, reverse=True)[:MOST_CANDIDATES])
    elif wanted.condition:
        candidates = _rare_ones(session, wanted.condition)
    if candidates is not None:
        rows = list(session.scalars(page.where(Study.id.in_(candidates)))) if candidates else []
        return _page(rows, limit, is_cut=is_cut)
    if not looked_at:
        return _page(list(session.scalars(page)), limit)
    for looked_through in (min(_FEW, LOOKED_THROUGH), LOOKED_THROUGH):
        newest = _newest_first(select(Study.id).where(*in_order)).limit(looked_through)
        rows = list(session.scalars(page.where(Study.id.in_(newest))))
        if len(rows) > limit:
            break
    found = _page(rows, limit)
    if found.cursor:
        return found
    edge = _newest_first(select(Study).where(*in_order)).offset(LOOKED_THROUGH - 1).limit(1)
    last = session.scalars(edge).first()
    return FoundStudies(studies=rows, cursor="" if last is None else _cursor_after(last))


def _dated(wanted: StudyFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        Study.state != StudyState.ERASED,
        Study.study_instance_uid != CANARY_STUDY,
    ]
    if wanted.since is not None:
        found.append(Study.last_received_at >= wanted.since)
    if wanted.before is not None:
        found.append(Study.last_received_at < wanted.before)
    return found


def _named(session: Session, wanted: StudyFilter) -> set[int]:
    """Return the studies that a text names: exactly, else those that something begins with."""
    if wanted.accession_number:
        key = folded(wanted.accession_number)
        query = select(StudyIdentifiers.study_id).where(StudyIdentifiers.accession_key == key)
        return set(session.scalars(query.limit(MOST_CANDIDATES + 1)))
    text = wanted.text.strip()
    exact = set(session.scalars(select(Study.id).where(Study.study_instance_uid == text)))
    if exact:
        return exact
    key = folded(text)
    if not key:
        return set()
    columns = (
        StudyIdentifiers.accession_key,
        StudyIdentifiers.patient_id_key,
        StudyIdentifiers.name_key,
    )
    found: set[int] = set()
    for column in columns:
        begins = (
            column == key
            if len(key) < _SHORTEST_BEGINNING
            else and_(column >= key, column < key + _LAST)
        )
        query = select(StudyIdentifiers.study_id).where(begins)
        query = query.order_by(column.desc()).limit(MOST_CANDIDATES + 1)
        found.update(session.scalars(query))
    if all(char in "0123456789." for char in text):
        of_uid = select(Study.id).where(
            Study.study_instance_uid >= text, Study.study_instance_uid < text + _LAST
        )
        found.update(session.scalars(of_uid.limit(MOST_CANDIDATES + 1)))
    return found


def _rare_ones(session: Session, condition: str) -> set[int] | None:
    """Return all studies that may be in a condition; None if they are not rare."""
    questions = rare(condition)
    if not questions:
        return None
    found: set[int] = set()
    for question in questions:
        ids = session.scalars(question.limit(MOST_CANDIDATES + 1))
        found.update(one for one in ids if one is not None)
        if len(found) > MOST_CANDIDATES:
            return None
    return found


def _withheld(session: Session, destinations: frozenset[str] | None) -> frozenset[str]:
    holds = Waits.read(session, destinations=destinations).holds
    names = destinations or frozenset()
    return frozenset(name for name in names if holds.withheld(name))


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(Study.last_received_at.desc(), Study.id.desc())


def _page(rows: Sequence[Study], limit: int, *, is_cut: bool = False) -> FoundStudies:
    cursor = _cursor_after(rows[limit - 1]) if len(rows) > limit else ""
    return FoundStudies(studies=rows[:limit], cursor=cursor, is_cut=is_cut)


def _cursor_after(row: Study) -> str:
    text = f"{row.last_received_at.isoformat()} {row.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _below(cursor: str) -> list[ColumnElement[bool]]:
    if not cursor:
        return []
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        word, _, number = text.partition(" ")
        at, last = datetime.fromisoformat(word), int(number)
        if at.tzinfo is None or not 0 < last < 2**31:
            raise ValueError("a time without a zone, or no id of a row")  # noqa: TRY301
    except (ValueError, binascii.Error):
        raise WrongFilterError("the cursor is none: begin with the first page") from None
    return [
        Study.last_received_at <= at,
        or_(Study.last_received_at < at, Study.id < last),
    ]
