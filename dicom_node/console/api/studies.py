"""Studies by the REST API: search, everything of one, and what is done to it."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import Body, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from dicom_node.commands.observe import why as explaining
from dicom_node.commands.observe.overview import studies_document, study_document
from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.console.views.studies import Words, lines_of
from dicom_node.console.views.study import Uid
from dicom_node.console.words import zone_of
from dicom_node.facts.identifiers import Identifiers
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.identifiers.keeping import identifiers_of
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.search.naming import study_named
from dicom_node.studies.ledger.search.study_search import StudyFilter

routes = Routes("API: studies")


class Search(Words):
    """What studies are wanted; in the body, since it may identify a patient."""

    text: Annotated[str, Field(max_length=255)] = ""
    """Accession number, patient ID, name or study UID, whole or how it begins."""
    cursor: Annotated[str, Field(max_length=200)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 25


class Listing(BaseModel):
    """What the command ``studies`` is to list."""

    text: Annotated[str, Field(max_length=255)] = ""
    """Accession number, patient ID, name or study UID, whole or how it begins."""
    state: Annotated[str, Field(max_length=64)] = ""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 50


class Named(BaseModel):
    """A study by its UID or accession number; in the body, since that may identify a patient."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Rows of each kind."""


class Level(BaseModel):
    """How urgent a study is."""

    level: Literal["stat", "routine", "off-peak"]


class Bundle(BaseModel):
    """By which bundle of the settings; empty: that of [model]."""

    bundle: Annotated[str, Field(max_length=64)] = ""


@routes.post("/api/studies/search", Role.VIEWER)
def search(request: Request, wanted: Search) -> Any:
    """Return a page of studies, most recently received first."""
    site = site_of(request)
    found = lines_of(
        site,
        wanted.filter(zone_of(site.settings), wanted.text),
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    return {
        "studies": [
            {**asdict(one.study), "identifiers": asdict(one.identifiers)} for one in found.lines
        ],
        "cursor": found.cursor,
        "is_cut": found.is_cut,
    }


@routes.post("/api/studies/list", Role.VIEWER)
def listed(request: Request, wanted: Listing) -> Any:
    """Return what the command ``studies`` lists."""
    site = site_of(request)
    with site.reading() as session:
        by = StudyFilter(text=wanted.text, condition=wanted.state)
        return studies_document(site.settings, session, by, limit=wanted.limit)


@routes.post("/api/studies/show", Role.VIEWER)
def shown(request: Request, named: Named) -> Any:
    """Return what the command ``show`` says of a study."""
    site = site_of(request)
    with site.reading() as session:
        return study_document(site.settings, session, named.name, limit=named.limit)


@routes.post("/api/studies/named", Role.VIEWER)
def named(request: Request, named: Named) -> Any:
    """Return the UID of a study with this accession number or UID."""
    with site_of(request).reading() as session:
        return {"study_instance_uid": study_named(session, named.name)}


@routes.get("/api/studies/{study}", Role.VIEWER)
def study(request: Request, study: Uid) -> Any:
    """Return everything that the ledger holds of a study, with its history."""
    site = site_of(request)
    with site.reading() as session:
        row = reading.find_study(session, study)
        known = site.settings.destination_names
        record = reading.study_record(session, row, destinations=known)
        identifiers = identifiers_of(session, [row.id]).get(row.id, Identifiers())
    return {
        **record, "summary": asdict(record["summary"]), "identifiers": asdict(identifiers)
    }  # fmt: skip


@routes.get("/api/studies/{study}/why", Role.VIEWER)
def why(request: Request, study: Uid) -> Any:
    """Say in words what happened to a study, and what to do next."""
    site = site_of(request)
    with site.reading() as session:
        known = site.settings.destination_names
        return {"lines": explaining.why(session, study, destinations=known)}


@routes.get("/api/studies/{study}/receipt", Role.VIEWER, response_class=Response)
def receipt(request: Request, study: Uid) -> Any:
    """Return the signed receipt of a study, in lines of JSON."""
    content = actions.receipt(site_of(request), caller_of(request), study)
    return Response(content, media_type="application/jsonl")


@routes.post("/api/studies/{study}/retry", Role.OPERATOR)
def retry(request: Request, study: Uid) -> Any:
    """Retry what failed of a study."""
    return _done(actions.retry(site_of(request), caller_of(request), study))


@routes.post("/api/studies/{study}/run-again", Role.OPERATOR)
def run_again(request: Request, study: Uid, by: Annotated[Bundle | None, Body()] = None) -> Any:
    """Analyse a study again."""
    bundle = by.bundle if by is not None else ""
    return _done(actions.run_again(site_of(request), caller_of(request), study, bundle))


@routes.post("/api/studies/{study}/cancel", Role.OPERATOR)
def cancel(request: Request, study: Uid) -> Any:
    """Stop the analysis of a study that is waiting or running."""
    return _done(actions.cancel(site_of(request), caller_of(request), study))


@routes.post("/api/studies/{study}/analyse-now", Role.OPERATOR)
def analyse_now(request: Request, study: Uid) -> Any:
    """Analyse a study with what has come of it, without waiting for more."""
    return _done(actions.analyse_now(site_of(request), caller_of(request), study))


@routes.post("/api/studies/{study}/priority", Role.OPERATOR)
def priority(request: Request, study: Uid, level: Level) -> Any:
    """Have a study analysed and delivered before or after others."""
    return _done(actions.prioritise(site_of(request), caller_of(request), study, level.level))


@routes.delete("/api/studies/{study}", Role.ADMIN)
def erase(request: Request, study: Uid) -> Any:
    """Erase everything that is kept of a study, for good."""
    return _done(actions.erase(site_of(request), caller_of(request), study))


def _done(lines: Any) -> dict[str, list[str]]:
    return {"done": list(lines)}
