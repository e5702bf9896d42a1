"""Drift, thresholds, audit and inventory by the REST API."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel, Field

from dicom_node.commands.model.reporting import inventory_of
from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.console.views.audit import StudyOrNone, audit_of
from dicom_node.console.views.drift import Days, drift_document, drift_of
from dicom_node.sign_in.roles import Role

routes = Routes("API: watching")

Number = Annotated[int, Path(ge=1)]


class Proposal(BaseModel):
    """For which equipment thresholds are wanted, and whose flag rate is aimed at."""

    equipment: Annotated[str, Field(min_length=1, max_length=400)]
    reference: Annotated[str, Field(min_length=1, max_length=400)]


@routes.get("/api/drift", Role.VIEWER)
def drift(request: Request, days: Days = 30) -> Any:
    """Return equipment, alarms, threshold sets, and whether a stop rule holds results."""
    return drift_document(drift_of(site_of(request), days))


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
