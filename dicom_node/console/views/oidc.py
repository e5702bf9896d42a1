"""Sign-in by the site's provider of identities: there, and back with its answer."""

from typing import Any, Final

import structlog
from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from dicom_node.audit.acts import Act
from dicom_node.console.access import require_own_origin
from dicom_node.console.auditing import entered
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.console.views.sign_in import HOME, NOBODY, own_path, sign_in_form, signed_in_answer
from dicom_node.errors import NodeError
from dicom_node.sign_in.provider.accounts import account_for
from dicom_node.sign_in.provider.begun import LONGEST_SECONDS, Begun
from dicom_node.sign_in.sign_ins import begin_sign_in
from dicom_node.studies.ledger.locks import database_time

log = structlog.get_logger("dicom_node.console")

routes = Routes("sign-in", pages=True)

BROWSER_COOKIE: Final = "mammoclip_sign_in_begun"
_STATUS_OF: Final = {
    "foreign-request": 403,
    "no-role": 403,
    "name-taken": 403,
    "provider-away": 503,
}
"""HTTP statuses of reasons; of any other it is 401."""


class NotOfferedHereError(NodeError):
    """The settings name no provider."""

    reason = "not-offered"


@routes.get("/sign-in/oidc", None)
def begin(request: Request, next: str = HOME) -> Any:
    """Send the browser to the provider."""
    site, address = site_of(request), _address_of(request)
    try:
        require_own_origin(request)
        if site.provider is None:
            raise NotOfferedHereError("no sign-in provider is set: use an account of the node")
        begun = site.begun_sign_ins.begin(own_path(next), address)
        answer = RedirectResponse(site.provider.address_for(begun), status_code=303)
    except NodeError as error:
        return _refused(request, error, next)
    # Lax: the browser comes back by a link of the provider's, another site.
    answer.set_cookie(
        BROWSER_COOKIE,
        begun.browser_secret,
        max_age=LONGEST_SECONDS,
        httponly=True,
        secure=_is_secure(site),
        samesite="lax",
        path="/sign-in",
    )
    return answer


@routes.get("/sign-in/oidc/back", None)
def back(
    request: Request, state: str = "", code: str = "", error: str = "", iss: str | None = None
) -> Any:
    """Take the provider's answer, and sign the person in."""
    site = site_of(request)
    path = HOME
    try:
        begun = site.begun_sign_ins.take(state, request.cookies.get(BROWSER_COOKIE, ""))
        path = begun.path
        secret = _secret_of(site, begun, code, error, iss, _address_of(request))
    except NodeError as refusal:
        return _forgotten(_refused(request, refusal, path))
    log.info("signed_in", address=_address_of(request), kind="provider")
    return _forgotten(signed_in_answer(site, secret, path))


def _secret_of(  # noqa: PLR0917  what the answer holds
    site: Site, begun: Begun, code: str, error: str, answered_as: str | None, address: str
) -> str:
    provider = site.provider
    if provider is None:
        raise NotOfferedHereError("no sign-in provider is set: use an account of the node")
    detail = f"from {address}, by the provider"
    try:
        provider.require_success(code, error)
        person = provider.person_by(code, begun, answered_as=answered_as)
    except NodeError:
        # Who it was is not known, or not to be believed.
        with entered(site, NOBODY, Act.SIGN_IN, detail=detail):
            raise
    with (
        entered(site, person.name, Act.SIGN_IN, detail=detail),
        site.database.writing() as session,
    ):
        at = database_time(session)
        account = account_for(session, person, at=at)
        return begin_sign_in(session, account, limits=site.limits, at=at)


def _refused(request: Request, error: NodeError, path: str) -> Response:
    log.warning("sign_in_refused", reason=error.reason, address=_address_of(request))
    words = str(error)
    return sign_in_form(
        request,
        path,
        problem=words[:1].upper() + words[1:],
        status=_STATUS_OF.get(error.reason, 401),
    )


def _forgotten(answer: Response) -> Response:
    answer.delete_cookie(BROWSER_COOKIE, path="/sign-in")
    return answer


def _address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_secure(site: Site) -> bool:
    return site.settings.console.oidc.address.startswith("https:")
