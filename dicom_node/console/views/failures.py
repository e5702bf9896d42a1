"""The view *Failures*: grouped by cause, with one button for all of a cause."""

from typing import Annotated, Any

from fastapi import Form, Request

from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.failures import causes
from dicom_node.console.pages import Entry, done, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.queries.counts import set_aside_by_reason

routes = Routes("failures", pages=True)
ENTRY = Entry("Failures", "/failures")


@routes.get("/failures", Role.VIEWER)
def failures(request: Request) -> Any:
    """Show what failed, by cause."""
    site = site_of(request)
    with site.reading() as session:
        found = causes(session, site.settings)
        aside = set_aside_by_reason(session)
    return page(request, "failures.html", title="Failures", causes=found, set_aside=aside)


@routes.post("/failures/retry", Role.OPERATOR)
def retry(request: Request, cause: Annotated[str, Form(max_length=64)]) -> Any:
    """Retry everything that failed for one cause."""
    return done("/failures", actions.retry_cause(site_of(request), caller_of(request), cause))
