"""Tables by the REST API: scores, assessments, the export for registries, a row a line."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import File, Query, Request, UploadFile
from fastapi.responses import StreamingResponse

from dicom_node.assessments.keeping import assessment_rows
from dicom_node.assessments.truth_table import truths_in
from dicom_node.audit.acts import Act
from dicom_node.commands.batches.assessing import keep_all
from dicom_node.commands.model.reporting import exported, time_of
from dicom_node.commands.observe.scoring import moment_of
from dicom_node.console.access import caller_of
from dicom_node.console.auditing import entered
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.errors import NodeError
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.queries.answers import standing_answers
from dicom_node.studies.score_table import score_rows

routes = Routes("API: tables")

Time = Annotated[str, Query(max_length=64)]
Name = Annotated[str, Query(max_length=64)]

_LARGEST_BYTES = 100_000_000
_LINES_OF_A_PIECE = 200


@routes.get("/api/scores", Role.VIEWER, response_class=StreamingResponse)
def scores(request: Request, since: Time = "", until: Time = "", rule: Name = "") -> Any:
    """Return the newest scores of each study, a row for each score, as lines of JSON."""
    site = site_of(request)
    begin, end = (moment_of(text or None, site.settings) for text in (since, until))
    _entered(site, request, f"scores {since} {until} {rule}".strip())
    answers = standing_answers(site.database, since=begin, until=end, rule=rule)
    return _lines(score_rows(answers))


@routes.get("/api/assessments", Role.VIEWER, response_class=StreamingResponse)
def assessments(request: Request) -> Any:
    """Return what readers and tables have said of studies, as lines of JSON."""
    site = site_of(request)
    _entered(site, request, "assessments")
    return _lines(assessment_rows(site.database))


@routes.post("/api/assessments", Role.OPERATOR)
def keep(request: Request, file: Annotated[UploadFile, File()]) -> Any:
    """Keep what turned out to be true of studies: a CSV table, as the command takes it."""
    site = site_of(request)
    with entered(site, caller_of(request).name, Act.ASSESSMENTS) as said:
        content = file.file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise NodeError(f"the table is larger than {_LARGEST_BYTES} bytes: divide it")
        done = keep_all(site.settings, site.database, truths_in(content, "the table"))
        said.detail = done.in_words()
    return {"lines": done.faults, "done": done.in_words(), "whole": done.is_whole}


@routes.get("/api/export", Role.VIEWER, response_class=StreamingResponse)
def export(request: Request, since: Time = "", until: Time = "") -> Any:
    """Return answers for a registry, a CSV row for each finding: no UID, no patient, no text."""
    site = site_of(request)
    begin, end = time_of(site.settings, site.database, since or None, until or None)
    _entered(site, request, f"for a registry, {begin:%Y-%m-%d} to {end:%Y-%m-%d}")
    lines = exported(site.settings, site.database, begin, end)
    return StreamingResponse(_pieces(lines), media_type="text/csv; charset=utf-8")


def _entered(site: Site, request: Request, detail: str) -> None:
    with entered(site, caller_of(request).name, Act.EXPORT, detail=detail):
        pass  # what leaves the node is entered before its first byte does


def _lines(rows: Iterable[dict[str, Any]]) -> StreamingResponse:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return StreamingResponse(_pieces(lines), media_type="application/jsonl")


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Yield some lines at once: each piece is a step through the server's event loop."""
    piece: list[str] = []
    for line in lines:
        piece.append(line)
        if len(piece) == _LINES_OF_A_PIECE:
            yield "".join(piece)
            piece.clear()
    yield "".join(piece)
