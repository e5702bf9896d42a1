"""The view *Workers*: who is there, and what each has in hand."""

from typing import Any

from fastapi import Request

from dicom_node.console.pages import Entry, page
from dicom_node.console.queries import running_analyses
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.due.workers import workers as known_workers

routes = Routes("workers", pages=True)
ENTRY = Entry("Workers", "/workers")


@routes.get("/workers", Role.VIEWER)
def workers(request: Request) -> Any:
    """Show the workers of the last week."""
    with site_of(request).reading() as session:
        known, running = known_workers(session), running_analyses(session)
    return page(request, "workers.html", title="Workers", workers=known, running=running)
