"""The view *Destinations*: whether each takes results, with its circuit breaker."""

from typing import Annotated, Any

from fastapi import Form, Request

from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.pages import Entry, done, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.console.views.now import summaries_of
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.destinations.circuits import circuits
from dicom_node.studies.ledger.locks import database_time

routes = Routes("destinations", pages=True)
ENTRY = Entry("Destinations", "/destinations")

Name = Annotated[str, Form(max_length=64)]


@routes.get("/destinations", Role.VIEWER)
def destinations(request: Request) -> Any:
    """Show the destinations."""
    site = site_of(request)
    with site.reading() as session:
        found = summaries_of(session, site.settings)
        breakers = circuits(session, at=database_time(session))
    return page(
        request,
        "destinations.html",
        title="Destinations",
        destinations=found,
        circuits=breakers,
        places={one.name: one for one in site.settings.destinations},
    )


@routes.post("/destinations/retry", Role.OPERATOR)
def retry(request: Request, name: Name) -> Any:
    """Try a destination now."""
    lines = actions.retry_destination(site_of(request), caller_of(request), name)
    return done("/destinations", lines)


@routes.post("/destinations/echo", Role.OPERATOR)
def echo(request: Request, name: Name) -> Any:
    """Ask a destination whether it answers."""
    return done("/destinations", actions.echo(site_of(request), name))
