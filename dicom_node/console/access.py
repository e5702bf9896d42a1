"""Who calls, and whether they may: every route says which role it needs, or that it needs none."""

import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import anyio.to_thread
from fastapi import Request

from dicom_node.console.site import Site, site_of
from dicom_node.errors import NodeError
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.sign_ins import Person, form_token, note_use, signed_in
from dicom_node.sign_in.tokens import token_of
from dicom_node.studies.ledger.locks import database_time

COOKIE: Final = "mammoclip_sign_in"
FORM_FIELD: Final = "csrf"
"""Name of the field of forms, and beginning of the header, that a foreign site cannot fill."""
_HEADER: Final = "x-csrf-token"
_SAFE: Final = frozenset({"GET", "HEAD"})
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_LONGEST_SECRET: Final = 200


class SignInNeededError(NodeError):
    """Nobody is signed in, and the request shows no token."""

    reason = "sign-in-needed"


class NotAllowedError(NodeError):
    """The role of whoever calls does not hold this."""

    reason = "not-allowed"


class ForeignRequestError(NodeError):
    """The request comes from another site, or from a page of a former sign-in."""

    reason = "foreign-request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls.

    Attributes
    ----------
    name : of the account; of a program ``token NAME``
    form_token : of the forms of this sign-in; empty for a program
    is_by_provider : whether the provider of identities vouches for the person
    """

    name: str
    role: Role
    form_token: str = ""
    is_by_provider: bool = False

    def may(self, role: str) -> bool:
        """Return whether the role holds another one."""
        return self.role.holds(Role(role))


def needs(role: Role) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """Return the dependency that lets in whoever has a role, and nobody else."""

    async def let_in(request: Request) -> Caller:
        site = site_of(request)
        caller = await anyio.to_thread.run_sync(_caller_of, site, request)
        if caller is None:
            raise SignInNeededError("sign in, or show a token: Authorization: Bearer TOKEN")
        if caller.form_token and request.method not in _SAFE:
            require_own_origin(request)
            if not hmac.compare_digest(await _shown(request), caller.form_token.encode()):
                raise ForeignRequestError(
                    "this form is of another sign-in: load the page again, and repeat it"
                )
        if not caller.role.holds(role):
            raise NotAllowedError(f"this needs the role {role}; yours is {caller.role}")
        request.state.caller = caller
        return caller

    return let_in


def caller_of(request: Request) -> Caller:
    """Return who was let in."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def require_own_origin(request: Request) -> None:
    """Raise ForeignRequestError if a browser says that another site makes this request."""
    fetched_by = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    is_own = origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
    if fetched_by not in {"same-origin", "none"} or not is_own:
        raise ForeignRequestError("the request comes from a page of another site")


def _caller_of(site: Site, request: Request) -> Caller | None:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _program(site, shown.strip()[:_LONGEST_SECRET])
    secret = request.cookies.get(COOKIE, "")[:_LONGEST_SECRET]
    person = _person(site, request, secret) if secret else None
    if person is None:
        return None
    return Caller(
        name=person.name,
        role=person.role,
        form_token=form_token(secret),
        is_by_provider=person.issuer is not None,
    )


def _program(site: Site, secret: str) -> Caller | None:
    with site.reading() as session:
        known = token_of(session, secret, at=database_time(session))
    return None if known is None else Caller(name=f"token {known.name}", role=known.role)


def _person(site: Site, request: Request, secret: str) -> Person | None:
    with site.reading() as session:
        at = database_time(session)
        person = signed_in(session, secret, limits=site.limits, at=at)
    # Who was vouched for by a provider that the settings name no more is nobody.
    if person is not None and person.issuer not in {None, site.settings.console.oidc.issuer}:
        return None
    # A page that looks again by itself keeps nobody signed in.
    is_used = "x-refresh" not in request.headers
    if person is not None and person.is_to_be_noted and is_used:
        with site.database.writing() as session:
            note_use(session, secret, at=at)
    return person


async def _shown(request: Request) -> bytes:
    """Return what the request shows to be of a page of this sign-in."""
    if header := request.headers.get(_HEADER):
        return header.encode()
    if request.headers.get("content-type", "").startswith(_FORMS):
        return str((await request.form()).get(FORM_FIELD, "")).encode()
    return b""
