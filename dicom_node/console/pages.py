"""Pages for people: templates, what every page holds, and what was just done."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import quote, unquote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from dicom_node.console import words
from dicom_node.console.access import Caller
from dicom_node.console.site import Site, site_of
from dicom_node.sign_in.roles import Role
from dicom_node.spool.draining import draining
from dicom_node.studies.ledger.due.pauses import pauses
from dicom_node.studies.ledger.locks import database_time

DONE: Final = "done"
"""Name of the cookie that carries what was just done to the next page; never about a patient."""

_LONGEST_NOTE: Final = 600


class Entry:
    """A view in the bar of each page.

    Parameters
    ----------
    role : from which on it is shown
    """

    def __init__(self, title: str, path: str, role: Role = Role.VIEWER) -> None:
        self.title = title
        self.path = path
        self.role = role


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dicom_node.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=words.duration, size=words.size, day=words.day, name=words.name
    )
    return environment


def page(
    request: Request,
    template: str,
    *,
    title: str,
    status: int = 200,
    **context: Any,
) -> HTMLResponse:
    """Return a page.

    Parameters
    ----------
    template : name of a file in the folder templates
    """
    site = site_of(request)
    caller: Caller | None = getattr(request.state, "caller", None)
    zone = words.zone_of(site.settings)
    now, paused = _state_of(site) if caller is not None else (None, ())
    text = (
        _environment()
        .get_template(template)
        .render(
            title=title,
            caller=caller,
            path=request.url.path,
            entries=_entries(request, caller),
            now=now,
            paused=paused,
            draining=None if caller is None else draining(site.settings.spool),
            note=unquote(request.cookies.get(DONE, ""))[:_LONGEST_NOTE]
            if caller is not None
            else "",
            node=site.settings.receive.ae_title,
            local=lambda at: words.in_zone(at, zone),
            ago=lambda at: words.ago(at, now) if isinstance(now, datetime) else "",
            **context,
        )
    )
    answer = HTMLResponse(text, status_code=status)
    if DONE in request.cookies:
        answer.delete_cookie(DONE, path="/")
    return answer


def done(path: str, lines: Sequence[str]) -> RedirectResponse:
    """Go to a page that says what was just done."""
    answer = RedirectResponse(path, status_code=303)
    # Percent-encoded, since a cookie holds ASCII without semicolons.
    note = " · ".join(lines)[:_LONGEST_NOTE]
    answer.set_cookie(DONE, quote(note), max_age=60, httponly=True, samesite="strict", path="/")
    return answer


def _entries(request: Request, caller: Caller | None) -> list[Entry]:
    entries: Sequence[Entry] = request.app.state.entries
    return [one for one in entries if caller is not None and caller.role.holds(one.role)]


def _state_of(site: Site) -> tuple[datetime, Sequence[Any]]:
    with site.reading() as session:
        return database_time(session), pauses(session)
