"""Sign-in and sign-out, slow for whoever guesses, alike for names that exist and do not."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import structlog
from fastapi import Form, Request
from fastapi.responses import RedirectResponse, Response

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
    is_unchanged,
    known_password,
)
from dicom_node.studies.ledger.locks import database_time

if TYPE_CHECKING:
    from dicom_node.sign_in.provider.provider import Provider

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
def form(request: Request, next: str = HOME, ended: str = "") -> Any:
    """Show the form."""
    site = site_of(request)
    return sign_in_form(request, next, ended=site.provider if ended == "provider" else None)


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
        answer = sign_in_form(request, next, problem=str(error), status=429)
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    except ForeignRequestError as error:
        return sign_in_form(request, next, problem=f"{error}: sign in here", status=403)
    if secret is None:
        log.warning("sign_in_refused", reason="wrong-password", address=address)
        return sign_in_form(request, next, problem="Name or password is wrong.", status=401)
    log.info("signed_in", address=address)
    return signed_in_answer(site, secret, own_path(next))


def signed_in_answer(site: Site, secret: str, path: str) -> Response:
    """Send the browser on to a page, with the secret of a sign-in that has begun."""
    answer = RedirectResponse(path, status_code=303)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int(site.limits.longest.total_seconds()),
        httponly=True,
        secure=site.settings.console.tls or site.settings.console.oidc.address.startswith("https:"),
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
    # Somebody else at this desk would be signed in by the provider with one press of a button.
    ended = "/sign-in?ended=provider" if caller_of(request).is_by_provider else HOME
    answer = RedirectResponse(ended, status_code=303)
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
        if not is_unchanged(session, name, known):
            raise WrongPasswordError("the password was changed in this moment")
        return begin_sign_in(session, known[0], limits=site.limits, at=database_time(session))


def sign_in_form(
    request: Request,
    path: str,
    *,
    problem: str = "",
    status: int = 200,
    ended: "Provider | None" = None,
) -> Response:
    """Return the form, with what was wrong the last time.

    Parameters
    ----------
    path : to go on with
    ended : provider at which the person may still be signed in
    """
    site = site_of(request)
    next_path = own_path(path)
    return page(
        request,
        "sign_in.html",
        title="Sign in",
        problem=problem,
        next=next_path,
        provider_label="" if site.provider is None else site.settings.console.oidc.label,
        provider_path=f"/sign-in/oidc?next={quote(next_path)}",
        is_ended=ended is not None,
        sign_out_there=None if ended is None else ended.sign_out_address(),
        status=status,
    )
