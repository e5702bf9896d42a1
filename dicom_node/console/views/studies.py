"""The view *Studies*: find a study among millions, without its identifiers in any address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Form, Query, Request
from pydantic import BaseModel, Field

from dicom_node.console.pages import Entry, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.console.words import zone_of
from dicom_node.facts.identifiers import Identifiers
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.identifiers.keeping import identifiers_of
from dicom_node.studies.ledger.queries.reading import StudySummary, summaries_of
from dicom_node.studies.ledger.search.conditions import CONDITIONS
from dicom_node.studies.ledger.search.study_search import (
    StudyFilter,
    WrongFilterError,
    find_studies,
)

routes = Routes("studies", pages=True)
ENTRY = Entry("Studies", "/studies")

PAGE: Final = 25
"""Studies on a page."""

_NOBODY: Final = Identifiers()
_IN_ADDRESS: Final = frozenset({"state", "sender", "since", "until"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One study in the list."""

    study: StudySummary
    identifiers: Identifiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A page of studies."""

    lines: Sequence[Line]
    cursor: str
    is_cut: bool


class Words(BaseModel):
    """A filter as people give it, of what may stand in an address."""

    state: Annotated[str, Field(max_length=32)] = ""
    sender: Annotated[str, Field(max_length=16)] = ""
    since: Annotated[str, Field(max_length=10)] = ""
    """First day, YYYY-MM-DD."""
    until: Annotated[str, Field(max_length=10)] = ""
    """Last day, YYYY-MM-DD."""

    def filter(self, zone: tzinfo, text: str = "") -> StudyFilter:
        """Return the filter; days are those of the site, both included.

        Raises
        ------
        WrongFilterError
            The state or a day is none.
        """
        last = _midnight(self.until, zone)
        return StudyFilter(
            text=text.strip(),
            condition=self.state,
            sender=self.sender.strip(),
            since=_midnight(self.since, zone),
            before=None if last is None else last + timedelta(days=1),
        )


class TextAndWords(Words):
    """A filter with a text that may identify a patient: never in an address."""

    text: Annotated[str, Field(max_length=255)] = ""
    csrf: str = ""


@routes.get("/studies", Role.VIEWER)
def studies(
    request: Request,
    words: Annotated[Words, Query()],
    cursor: Annotated[str, Query(max_length=200)] = "",
) -> Any:
    """List studies by what may stand in an address."""
    return _listed(request, "", words, cursor=cursor)


@routes.post("/studies", Role.VIEWER)
def found(
    request: Request,
    words: Annotated[TextAndWords, Form()],
) -> Any:
    """List studies by identifiers too, which the body of the request holds."""
    return _listed(request, words.text, words)


def lines_of(site: Site, wanted: StudyFilter, *, limit: int = PAGE, cursor: str = "") -> Lines:
    """Return a page of studies, each with its state and by what it is known.

    Raises
    ------
    WrongFilterError
        The cursor is none.
    """
    known = site.settings.destination_names
    with site.reading() as session:
        found = find_studies(session, wanted, limit=limit, cursor=cursor, destinations=known)
        summaries = summaries_of(session, found.studies, destinations=known)
        identifiers = identifiers_of(session, [one.id for one in found.studies])
        lines = [
            Line(study=told, identifiers=identifiers.get(one.id, _NOBODY))
            for one, told in zip(found.studies, summaries, strict=True)
        ]
    return Lines(lines=lines, cursor=found.cursor, is_cut=found.is_cut)


def _midnight(day: str, zone: tzinfo) -> datetime | None:
    if not day:
        return None
    try:
        return datetime.combine(date.fromisoformat(day), time(), zone)
    except ValueError:
        raise WrongFilterError("a day is written YYYY-MM-DD") from None


def _listed(request: Request, text: str, words: Words, *, cursor: str = "") -> Any:
    site = site_of(request)
    found = lines_of(site, words.filter(zone_of(site.settings), text), cursor=cursor)
    kept = {key: value for key, value in words.model_dump().items() if value and key in _IN_ADDRESS}
    # With a text there is one page: its cursor would need the text in an address.
    more = f"/studies?{urlencode({**kept, 'cursor': found.cursor})}" if found.cursor else ""
    return page(
        request,
        "studies.html",
        title="Studies",
        found=found,
        text=text,
        words=words,
        more="" if text else more,
        is_cut=found.is_cut or bool(text and found.cursor),
        first=f"/studies?{urlencode(kept)}" if cursor else "",
        states=CONDITIONS,
        keeps_identifiers=site.settings.ledger.identifiers,
    )
