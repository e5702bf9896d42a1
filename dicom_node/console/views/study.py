"""The view of one study: its time line, images with findings on them, objects, and what to do."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import Form, Path, Request
from fastapi.responses import Response, StreamingResponse

from dicom_node.audit.acts import Act
from dicom_node.commands.observe import why as explaining
from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.auditing import entered
from dicom_node.console.downloads import zipped
from dicom_node.console.overlays import ShownImage, shown_images
from dicom_node.console.pages import done, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.console.time_line import time_line
from dicom_node.dicomweb.holdings import HeldObject, held_objects
from dicom_node.errors import NodeError
from dicom_node.facts.identifiers import Identifiers
from dicom_node.pictures import SIZES
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.identifiers.keeping import identifiers_of
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import AnalysisState

routes = Routes("study", pages=True)

Uid = Annotated[str, Path(pattern=r"^[0-9]+(\.[0-9]+)+$", max_length=64)]
"""A UID in an address."""


class NoSuchObjectError(NodeError):
    """The node does not have the object, or has removed its file."""

    reason = "not-held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the newest analysis that ended says.

    Attributes
    ----------
    scores : rows of name, breast or ``study``, score, whether calibrated, threshold, above it
    """

    revision: int
    bundle: str
    warning: str
    scores: Sequence[Mapping[str, Any]]
    images: Mapping[str, Mapping[str, Any]]


_NO_ANSWER: Final = Answer(revision=0, bundle="", warning="", scores=(), images={})


@routes.get("/studies/{study}", Role.VIEWER)
def study(request: Request, study: Uid) -> Any:
    """Show one study."""
    site = site_of(request)
    known = site.settings.destination_names
    with site.reading() as session:
        row = reading.find_study(session, study)
        record = reading.study_record(session, row, destinations=known)
        lines = explaining.why(session, study, destinations=known)
        identifiers = identifiers_of(session, [row.id]).get(row.id, Identifiers())
        held = held_objects(session, site.spool, study)
    answer = answer_of(record["analyses"])
    link = site.settings.console.viewer_link.replace("{study_instance_uid}", study)
    return page(
        request,
        "study.html",
        title=identifiers.accession_number or "Study",
        study=record["summary"],
        record=record,
        identifiers=identifiers,
        why=lines,
        steps=time_line(record["history"]),
        answer=answer,
        images=_images(held, answer, record["instances"]),
        left_out=[one for one in record["instances"] if one["left_out_reason"] or one["reason"]],
        assessments=record["assessments"],
        objects=list(_objects(record)),
        viewer_link=link,
        has_files=bool(held),
    )


@routes.get("/studies/{study}/images/{instance}/{size}.jpg", Role.VIEWER, response_class=Response)
def picture(request: Request, study: Uid, instance: Uid, size: Literal["small", "large"]) -> Any:
    """Return the picture of a received image."""
    site = site_of(request)
    (held, *_) = _held(site, study, instance)
    content = site.pictures.of(held.file, SIZES[size])
    return Response(content, media_type="image/jpeg")


@routes.get("/studies/{study}/download", Role.VIEWER, response_class=StreamingResponse)
def download(request: Request, study: Uid) -> Any:
    """Return the images and results of a study as one ZIP file."""
    site = site_of(request)
    objects = _held(site, study)
    what = f"{len(objects)} objects"
    with entered(site, caller_of(request).name, Act.DOWNLOAD, study=study, detail=what):
        headers = {"Content-Disposition": f'attachment; filename="{study}.zip"'}
    return StreamingResponse(zipped(objects), media_type="application/zip", headers=headers)


@routes.get(
    "/studies/{study}/objects/{instance}.dcm", Role.VIEWER, response_class=StreamingResponse
)
def one_object(request: Request, study: Uid, instance: Uid) -> Any:
    """Return one object as it is stored."""
    site = site_of(request)
    (held, *_) = _held(site, study, instance)
    with entered(site, caller_of(request).name, Act.DOWNLOAD, study=study, detail=instance):
        headers = {"Content-Disposition": f'attachment; filename="{instance}.dcm"'}
    # Not FileResponse: it would answer ranges, which nobody needs here.
    return StreamingResponse(held.file.open("rb"), media_type="application/dicom", headers=headers)


@routes.get("/studies/{study}/receipt", Role.VIEWER, response_class=Response)
def receipt(request: Request, study: Uid) -> Any:
    """Return the signed receipt of a study: what came, what was made of it, what went where."""
    content = actions.receipt(site_of(request), caller_of(request), study)
    headers = {"Content-Disposition": f'attachment; filename="receipt-{study}.jsonl"'}
    return Response(content, media_type="application/jsonl", headers=headers)


@routes.post("/studies/{study}/{action}", Role.OPERATOR)
def act(
    request: Request,
    study: Uid,
    action: Literal["retry", "run-again", "cancel", "analyse-now"],
) -> Any:
    """Retry, analyse again, cancel, or analyse with what has come."""
    lines = actions.OF_A_STUDY[action](site_of(request), caller_of(request), study)
    return done(f"/studies/{study}", list(lines))


@routes.post("/studies/{study}/priority/set", Role.OPERATOR)
def prioritise(request: Request, study: Uid, level: Annotated[str, Form(max_length=16)]) -> Any:
    """Have a study analysed before or after others."""
    lines = actions.prioritise(site_of(request), caller_of(request), study, level)
    return done(f"/studies/{study}", list(lines))


@routes.post("/studies/{study}/erase/whole", Role.ADMIN)
def erase(request: Request, study: Uid, confirm: Annotated[str, Form(max_length=64)] = "") -> Any:
    """Erase everything that is kept of a study, for good."""
    if confirm.strip() != study:
        raise NodeError("not erased: write the study's UID into the field to confirm")
    return done("/studies", list(actions.erase(site_of(request), caller_of(request), study)))


def answer_of(analyses: Sequence[Mapping[str, Any]]) -> Answer:
    """Return what the newest analysis says that has ended with findings."""
    done_ones = [one for one in analyses if one["state"] is AnalysisState.DONE and one["findings"]]
    if not done_ones:
        return _NO_ANSWER
    newest = done_ones[-1]
    document = json.loads(newest["findings"])
    bundle = document.get("bundle", {})
    rows = [(one, "study") for one in document.get("study", ())]
    for breast in document.get("breasts", ()):
        rows += [(one, breast.get("laterality", "")) for one in breast.get("findings", ())]
    return Answer(
        revision=newest["revision"],
        bundle=f"{bundle.get('name', '')} {bundle.get('version', '')}".strip(),
        warning=bundle.get("warning") or "",
        scores=[{**one, "of": of} for one, of in rows],
        images={one["sop_instance_uid"]: one for one in document.get("images", ())},
    )


def _images(
    held: Sequence[HeldObject], answer: Answer, instances: Iterable[Mapping[str, Any]]
) -> list[ShownImage]:
    images = {one["sop_instance_uid"]: one for one in instances if one["place"]}
    return shown_images(
        [(one, images[one.sop_instance_uid]) for one in held if one.sop_instance_uid in images],
        answer.images,
    )


def _objects(record: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Yield each result object with where it is, the newest first."""
    names = {one["id"]: one["destination"] for one in record["deliveries"]}
    for result in reversed(record["results"]):
        at = [
            {
                "destination": names[one["delivery_id"]],
                "outcome": one["outcome"],
                "status": one["status"],
                "at": one["at"],
            }
            for one in record["outcomes"]
            if one["result_object_id"] == result["id"] and one["delivery_id"] in names
        ]
        yield {**result, "at": at}


def _held(site: Site, study: str, instance: str | None = None) -> list[HeldObject]:
    with site.reading() as session:
        objects = held_objects(session, site.spool, study)
    found = [
        one for one in objects if instance in {None, one.sop_instance_uid} and one.file.is_file()
    ]
    if not found:
        raise NoSuchObjectError("the node holds no such object, or has removed its file")
    return found
