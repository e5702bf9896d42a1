"""Drift, thresholds, replay, report, audit and inventory by the REST API."""

from collections import deque
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import File, Form, Path, Query, Request, UploadFile
from fastapi.responses import Response
from pydantic import BaseModel, Field

from dicom_node.audit.acts import Act
from dicom_node.audit.audit_file import Head
from dicom_node.audit_trail import deeds_of, verified
from dicom_node.commands.model import threshold_commands
from dicom_node.commands.model.reporting import inventory_of, report_content, report_made
from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.auditing import entered
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.console.views.audit import StudyOrNone, audit_of
from dicom_node.console.views.drift import Days, drift_document, drift_of
from dicom_node.errors import NodeError
from dicom_node.node_parts import open_spool
from dicom_node.receipts.signature import ReceiptKey
from dicom_node.sign_in.roles import Role

routes = Routes("API: watching")

Number = Annotated[int, Path(ge=1)]

_LARGEST_BYTES = 100_000_000


class Proposal(BaseModel):
    """For which equipment thresholds are wanted, and whose flag rate is aimed at."""

    equipment: Annotated[str, Field(min_length=1, max_length=400)]
    reference: Annotated[str, Field(min_length=1, max_length=400)]


class Reference(BaseModel):
    """Which scanner is compared with what comes from now on, and why."""

    scanner: Annotated[str, Field(min_length=1, max_length=255)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Replay(BaseModel):
    """By which bundle past studies are answered in shadow, and since which day."""

    bundle: Annotated[str, Field(min_length=1, max_length=64)]
    since: Annotated[str, Field(min_length=1, max_length=64)]


class LineOfAudit(BaseModel):
    """A line of the audit file that a receipt names as the last one then."""

    number: Annotated[int, Field(ge=0)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Lines(BaseModel):
    """Lines that are remembered elsewhere than in the ledger."""

    also: Annotated[list[LineOfAudit], Field(max_length=1000)] = []


@routes.get("/api/drift", Role.VIEWER)
def drift(request: Request, days: Days = 30) -> Any:
    """Return equipment, alarms, threshold sets, and whether a stop rule holds results."""
    return drift_document(drift_of(site_of(request), days))


@routes.post("/api/drift/reference", Role.OPERATOR)
def begin_reference(request: Request, wanted: Reference) -> Any:
    """Compare a scanner with the answers that come from now on."""
    done = actions.begin_reference(
        site_of(request), caller_of(request), wanted.scanner, wanted.reason
    )
    return {"done": list(done)}


@routes.get("/api/thresholds", Role.VIEWER)
def thresholds(request: Request) -> Any:
    """List the threshold sets."""
    return threshold_commands.listed(site_of(request).database)


@routes.post("/api/thresholds", Role.OPERATOR)
def propose(request: Request, wanted: Proposal) -> Any:
    """Compute thresholds for some equipment; nothing changes until they are accepted."""
    done = actions.propose_thresholds(
        site_of(request), caller_of(request), wanted.equipment, wanted.reference
    )
    return {"done": list(done)}


@routes.post("/api/thresholds/{number}/accept", Role.OPERATOR)
def accept(request: Request, number: Number) -> Any:
    """Judge answers by a threshold set from now on."""
    done = actions.accept_thresholds(site_of(request), caller_of(request), number)
    return {"done": list(done)}


@routes.post("/api/thresholds/{number}/withdraw", Role.OPERATOR)
def withdraw(request: Request, number: Number) -> Any:
    """Judge by the bundle's own thresholds again."""
    done = actions.withdraw_thresholds(site_of(request), caller_of(request), number)
    return {"done": list(done)}


@routes.post("/api/replay", Role.OPERATOR)
def replay(request: Request, wanted: Replay) -> Any:
    """Have past studies answered by another bundle in shadow."""
    done = actions.replay(site_of(request), caller_of(request), wanted.bundle, wanted.since)
    return {"done": list(done)}


@routes.post("/api/report.{kind}", Role.ADMIN, response_class=Response)
def report(
    request: Request,
    kind: Annotated[Literal["html", "pdf"], Path()],
    since: Annotated[str, Form(max_length=64)] = "",
    until: Annotated[str, Form(max_length=64)] = "",
    truth: Annotated[UploadFile | None, File()] = None,
) -> Any:
    """Return the report of some time, of the last whole month if none is named."""
    site = site_of(request)
    with entered(site, caller_of(request).name, Act.REPORT, detail=f"{since} {until} {kind}"):
        table = None if truth is None else truth.file.read(_LARGEST_BYTES + 1)
        if table is not None and len(table) > _LARGEST_BYTES:
            raise NodeError(f"the table is larger than {_LARGEST_BYTES} bytes: divide it")
        made = report_made(
            site.settings, site.database, since=since or None, until=until or None, truth=table
        )
        content = report_content(made, kind)
    media_type = "text/html; charset=utf-8" if kind == "html" else "application/pdf"
    return Response(content, media_type=media_type)


@routes.get("/api/audit/entries", Role.ADMIN)
def entries(
    request: Request,
    study: StudyOrNone = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> Any:
    """Return the newest entries as they stand in the file, the oldest first."""
    found = deeds_of(site_of(request).settings, study or None)
    return {"entries": list(deque(found, maxlen=limit))}


@routes.post("/api/audit/verify", Role.ADMIN)
def verify(request: Request, lines: Lines) -> Any:
    """Check each line of the audit file, and that none is missing at its end."""
    site = site_of(request)
    also = [Head(number=one.number, digest=one.digest) for one in lines.also]
    # Looked at before a line is added: that would hide where the end was.
    count, faults = verified(site.settings, site.database, also=also)
    detail = f"{count} lines, {len(faults)} faults"
    with entered(site, caller_of(request).name, Act.VERIFY, detail=detail):
        pass
    return {"lines": count, "faults": [one.in_words() for one in faults]}


@routes.get("/api/receipt-key", Role.VIEWER)
def receipt_key(request: Request) -> Any:
    """Return the public key by which receipts of this node are verified."""
    return {"key": ReceiptKey(open_spool(site_of(request).settings)).public}


@routes.get("/api/audit", Role.ADMIN)
def audit(
    request: Request,
    study: StudyOrNone = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Any:
    """Return the newest entries, and what is wrong with the audit file."""
    return asdict(audit_of(site_of(request), caller_of(request).name, study, limit=limit))


@routes.get("/api/inventory", Role.ADMIN)
def inventory(request: Request) -> Any:
    """Return the inventory sheet (ACR-SIIM Practice Parameter 2026, IV.B)."""
    site = site_of(request)
    return {row[0]: row[1] for row in inventory_of(site.settings, site.database).rows}
