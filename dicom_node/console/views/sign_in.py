"""Sign-in and sign-out, slow for whoever guesses, alike for names that exist and do not."""

from contextlib import suppress
from typing import Annotated, Any, Final
from urllib.parse import quote

import structlog
from fastapi import Form, Request
from fastapi.responses import RedirectResponse

from dicom_node.audit.acts import Act
from dicom_node.console.access import COOKIE, ForeignRequestError, caller_of, require_own_origin
from dicom_node.console.auditing import entered
from dicom_node.console.pages import page
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.errors import NodeError
from dicom_node.sign_in.attempts import TooManyAttemptsError
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.sign_ins import (
    begin_sign_in,
    end_sign_in,
    is_password_right,
    known_password,
)
from dicom_node.studies.ledger.locks import database_time

log = structlog.get_logger("dicom_node.console")

routes = Routes("sign-in", pages=True)
HOME = "/"
NOBODY: Final = "unknown"
"""Who has tried to sign in by a name that is none."""
_LONGEST = 300


class WrongPasswordError(NodeError):
    """Name or password is wrong."""

    reason = "wrong-password"


@routes.get("/sign-in", None)
def form(request: Request, next: str = HOME) -> Any:
    """Show the form."""
    return page(request, "sign_in.html", title="Sign in", problem="", next=own_path(next))


@routes.post("/sign-in", None)
def sign_in(
    request: Request,
    name: Annotated[str, Form(max_length=_LONGEST)] = "",
    password: Annotated[str, Form(max_length=_LONGEST)] = "",
    next: Annotated[str, Form(max_length=2000)] = HOME,
) -> Any:
    """Sign in with name and password."""
    site, address = site_of(request), request.client.host if request.client else ""
    try:
        require_own_origin(request)
        secret = _secret_of(site, name.strip(), password, address)
    except TooManyAttemptsError as error:
        log.warning("sign_in_refused", reason=error.reason, address=address)
        return _again(request, str(error), next, 429, {"Retry-After": str(error.seconds)})
    except ForeignRequestError as error:
        return _again(request, f"{error}: sign in here", next, 403, {})
    if secret is None:
        log.warning("sign_in_refused", reason="wrong-password", address=address)
        return _again(request, "Name or password is wrong.", next, 401, {})
    log.info("signed_in", address=address)
    answer = RedirectResponse(own_path(next), status_code=303)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int(site.limits.longest.total_seconds()),
        httponly=True,
        secure=site.settings.console.tls,
        samesite="lax",
        path="/",
    )
    return answer


@routes.post("/sign-out", Role.VIEWER)
def sign_out(request: Request) -> Any:
    """End the sign-in."""
    site = site_of(request)
    if caller_of(request).form_token:
        with (
            entered(site, caller_of(request).name, Act.SIGN_OUT),
            site.database.writing() as session,
        ):
            end_sign_in(session, request.cookies.get(COOKIE, ""))
    answer = RedirectResponse(HOME, status_code=303)
    answer.delete_cookie(COOKIE, path="/")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


def own_path(path: str) -> str:
    """Return a path of this site, whatever was asked for: never another host."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own and "\\" not in path else HOME


def sign_in_path(request: Request) -> str:
    """Return where to sign in, to go on with this page afterwards."""
    path = request.url.path if request.method == "GET" else HOME
    return f"/sign-in?next={quote(path)}" if path != HOME else "/sign-in"


def _secret_of(site: Site, name: str, password: str, address: str) -> str | None:
    site.attempts.require_free(name, address)
    with site.reading() as session:
        known = known_password(session, name)
    # Of a name that nobody has nothing is kept: it may be a password, typed in the wrong field.
    who = name if known is not None else NOBODY
    with suppress(WrongPasswordError), entered(site, who, Act.SIGN_IN, detail=f"from {address}"):
        return _begun(site, name, password, known, address)
    return None


def _begun(
    site: Site, name: str, password: str, known: tuple[int, str] | None, address: str
) -> str:
    if not is_password_right(password, known) or known is None:
        site.attempts.note_wrong(name, address)
        raise WrongPasswordError("name or password is wrong")
    site.attempts.note_right(name, address)
    with site.database.writing() as session:
        return begin_sign_in(session, known[0], limits=site.limits, at=database_time(session))


def _again(request: Request, problem: str, path: str, status: int, headers: dict[str, str]) -> Any:
    answer = page(
        request,
        "sign_in.html",
        title="Sign in",
        problem=problem,
        next=own_path(path),
        status=status,
    )
    answer.headers.update(headers)
    return answer
