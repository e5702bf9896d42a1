"""Files in by the REST API: to be analysed at once, or as the command ``submit`` brings them."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import File, Form, Request, UploadFile
from fastapi.responses import JSONResponse
from sqlalchemy import select

from dicom_node.audit.acts import Act
from dicom_node.commands.batches.folders import checked_ae_title
from dicom_node.console.access import caller_of
from dicom_node.console.auditing import entered
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.console.views.study import Uid
from dicom_node.errors import NodeError, OutOfResourcesError, RefusedError
from dicom_node.facts.priority import OF_WORDS
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.queries.reading import find_study, summary
from dicom_node.studies.ledger.states import AnalysisState, InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance

routes = Routes("API: analyze")

SENDER: Final = "REST"
"""AE title under which what is sent so counts, for rules and settings that name senders."""

_LOOK_SECONDS: Final = 0.2


@routes.post("/api/analyze", Role.OPERATOR)
def analyze(request: Request, files: Annotated[list[UploadFile], File()]) -> Any:
    """Take the DICOM files of one study, and return its findings.

    They go the way of every study: kept in the spool, registered, analysed by the rules, and
    delivered where those say. If the findings take longer than console.analyze_wait_seconds, the
    answer is 202 with the address where they will be.
    """
    site = site_of(request)
    address = request.client.host if request.client else ""
    with entered(site, caller_of(request).name, Act.SEND, detail=f"{len(files)} files") as said:
        taken, studies, refused = _taken(site, files, address)
        if not taken:
            raise NodeError(f"none of the files was taken: {'; '.join(refused) or 'none was sent'}")
        said.studies += sorted(studies)
    if len(studies) != 1:
        raise NodeError(f"the files are of {len(studies)} studies; they are kept: send one at once")
    (study,) = studies
    ends = time.monotonic() + site.settings.console.analyze_wait_seconds
    while (found := _findings(site, study, taken)) is None and time.monotonic() < ends:
        time.sleep(_LOOK_SECONDS)
    place = f"/api/studies/{study}/findings"
    if found is None:
        return JSONResponse(
            {"study_instance_uid": study, "location": place, "refused": refused},
            status_code=202,
            headers={"Location": place, "Retry-After": "10"},
        )
    return {**found, "refused": refused}


@routes.post("/api/submit", Role.OPERATOR)
def submit(
    request: Request,
    file: Annotated[UploadFile, File()],
    priority: Annotated[Literal["", "stat", "routine", "off-peak"], Form()] = "",
    ae_title: Annotated[str, Form(min_length=1, max_length=16)] = SENDER,
) -> Any:
    """Take one DICOM file as by C-STORE: on the answer it is safe on disk.

    A file that the node does not take is told with the reason, and nothing is kept of it.
    """
    site = site_of(request)
    address = request.client.host if request.client else ""
    sender = checked_ae_title(ae_title)
    with (
        entered(site, caller_of(request).name, Act.SEND, detail=f"1 file as {sender}") as said,
        file_intake(
            site.settings.receive,
            site.spool,
            origin=address or "rest",
            calling_ae_title=sender,
            address=address,
            priority=OF_WORDS[priority] if priority else None,
        ) as intake,
    ):
        try:
            taken = intake.take(file.file)
        except RefusedError as error:
            said.detail = f"1 file as {sender}: {error.reason}"
            # One that is too large for the node is its own fault, and others may be taken.
            fits = (file.size or 0) <= intake.maximum_bytes
            is_disk = isinstance(error, OutOfResourcesError) and fits
            return {"refused": str(error), "out_of_resources": is_disk}
        said.studies += [taken.study_instance_uid] if taken.study_instance_uid else []
    return asdict(taken) | {"refused": ""}


@routes.get("/api/studies/{study}/findings", Role.VIEWER)
def findings(request: Request, study: Uid) -> Any:
    """Return the findings document of a study's newest analysis; 202 while it is not done."""
    found = _findings(site_of(request), study, ())
    if found is None:
        return JSONResponse({"study_instance_uid": study}, 202, headers={"Retry-After": "10"})
    return found


def _taken(
    site: Site, files: Sequence[UploadFile], address: str
) -> tuple[list[str], set[str], list[str]]:
    """Put files into the spool; return the SOP Instance UIDs, the studies, and what was refused."""
    taken: list[str] = []
    studies: set[str] = set()
    refused: list[str] = []
    receive = site.settings.receive
    with file_intake(
        receive,
        site.spool,
        origin=address or "rest",
        calling_ae_title=SENDER,
        address=address,
    ) as intake:
        for number, file in enumerate(files, 1):
            try:
                one = intake.take(file.file)
            except RefusedError as error:
                refused.append(f"file {number}: {error}")
                continue
            taken.append(one.sop_instance_uid)
            if one.study_instance_uid:
                studies.add(one.study_instance_uid)
    return taken, studies, refused


def _findings(site: Site, study: str, taken: Sequence[str]) -> dict[str, Any] | None:
    """Return what is found in a study, or why nothing is; None while that is not known.

    Parameters
    ----------
    taken : SOP Instance UIDs that must be registered before anything counts
    """
    with site.reading() as session:
        if taken and _still_comes(session, taken):
            return None
        row = find_study(session, study)
        told = summary(session, row)
        newest = session.scalars(
            select(Analysis).where(Analysis.study_id == row.id, Analysis.revision == row.revision)
        ).first()
    about = {"study_instance_uid": study, "condition": told.condition, "reason": told.reason}
    if told.condition in {"receiving", "waiting", "analysing"}:
        return None
    if newest is not None and newest.state is AnalysisState.DONE and newest.findings:
        return {**about, "revision": newest.revision, "findings": json.loads(newest.findings)}
    return {**about, "findings": None}


def _still_comes(session: Any, taken: Sequence[str]) -> bool:
    known = session.scalars(
        select(Instance.sop_instance_uid).where(
            Instance.sop_instance_uid.in_(taken), Instance.state != InstanceState.RECEIVED
        )
    )
    return not set(taken) <= set(known)
