"""Who a person is by the provider's claims: a name, and the role that their groups give."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dicom_node.errors import NodeError
from dicom_node.settings.operation.oidc import OidcSettings
from dicom_node.sign_in.roles import Role

_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_.@-]")
_LONGEST_NAME: Final = 64


class NoRoleError(NodeError):
    """The person is in no group that gives a role."""

    reason = "no-role"


class NoNameError(NodeError):
    """The provider says no name of the person that an account can have."""

    reason = "no-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPerson:
    """Somebody whom the provider vouches for.

    Attributes
    ----------
    issuer, subject : who it is, for good (OpenID Connect Core 5.7)
    name : by which people know them; the provider may change it
    """

    issuer: str
    subject: str
    name: str
    role: Role


def person_of(claims: Mapping[str, Any], settings: OidcSettings) -> KnownPerson:
    """Return who the claims are about.

    Raises
    ------
    NoNameError, NoRoleError
    """
    said = claim_of(claims, settings.name_claim)
    name = _FOREIGN.sub("_", said).lstrip("_.@-") if isinstance(said, str) else ""
    if not 0 < len(name) <= _LONGEST_NAME:
        raise NoNameError(
            f"the provider says no name under the claim {settings.name_claim}: "
            "name_claim under [console.oidc] says which one holds it"
        )
    return KnownPerson(
        issuer=settings.issuer,
        subject=str(claims["sub"]),
        name=name,
        role=_role_of(claim_of(claims, settings.role_claim), settings),
    )


def claim_of(claims: Mapping[str, Any], name: str) -> object:
    """Return the value of a claim; a dot in its name leads into it, unless it is the name's."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _role_of(said: object, settings: OidcSettings) -> Role:
    groups = {said} if isinstance(said, str) else set()
    if isinstance(said, list):
        groups = {one for one in said if isinstance(one, str)}
    for role, named in (
        (Role.ADMIN, settings.admins),
        (Role.OPERATOR, settings.operators),
        (Role.VIEWER, settings.viewers),
    ):
        if groups.intersection(named):
            return role
    raise NoRoleError(
        f"none of your groups gives a role here (claim {settings.role_claim}): ask whoever looks "
        "after the node for a group that viewers, operators or admins under [console.oidc] names"
    )
