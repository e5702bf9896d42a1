"""The view *Pauses*: what waits until somebody resumes it; receiving goes on."""

from typing import Annotated, Any

from fastapi import Form, Request

from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.pages import Entry, done, page
from dicom_node.console.queries import senders
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.locks import database_time

routes = Routes("pauses", pages=True)
ENTRY = Entry("Pauses", "/pauses")

Word = Annotated[str, Form(max_length=64)]


@routes.get("/pauses", Role.VIEWER)
def pauses(request: Request) -> Any:
    """Show what is paused."""
    site = site_of(request)
    with site.reading() as session:
        known = [one.name for one in senders(session, database_time(session))]
    names = [one.name for one in site.settings.destinations]
    return page(request, "pauses.html", title="Pauses", senders=known, destinations=names)


@routes.post("/pauses", Role.OPERATOR)
def pause(
    request: Request,
    what: Word,
    name: Word = "",
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Any:
    """Pause something."""
    return done(
        "/pauses",
        actions.pause(site_of(request), caller_of(request), what, name.strip(), reason.strip()),
    )


@routes.post("/pauses/drain", Role.OPERATOR)
def drain(request: Request, reason: Annotated[str, Form(max_length=500)] = "") -> Any:
    """Take nothing new, and finish what is there."""
    done_so = actions.drain(site_of(request), caller_of(request), reason.strip())
    return done("/pauses", done_so)


@routes.post("/pauses/drain/end", Role.OPERATOR)
def receive_again(request: Request) -> Any:
    """Receive again."""
    return done("/pauses", actions.receive_again(site_of(request), caller_of(request)))


@routes.post("/pauses/end", Role.OPERATOR)
def resume(request: Request, what: Word, name: Word = "") -> Any:
    """End a pause."""
    return done("/pauses", actions.resume(site_of(request), caller_of(request), what, name))
