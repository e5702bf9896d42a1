"""The section [console.oidc]: sign-in to the console by the site's own provider of identities."""

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from dicom_node.settings.section import LocalPath, Secret, Section

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class OidcSettings(Section):
    """Sign-in by OpenID Connect (OpenID Connect Core 1.0), beside the node's own accounts."""

    issuer: str = ""
    """Address of the provider, exactly as its own documents name it; empty: not offered."""
    client_id: str = ""
    """Name under which the node is registered with the provider."""
    client_secret: Secret | None = None
    """Secret of that registration; unset: the node is a public client, by PKCE alone."""
    address: str = ""
    """Address by which browsers reach the console; ADDRESS/sign-in/oidc/back is registered."""
    label: str = "the hospital's account"
    """What the sign-in page calls it: "Sign in with LABEL"."""
    scopes: tuple[str, ...] = ("openid", "profile")
    """Scopes that are asked for; openid is one of them."""
    name_claim: str = "preferred_username"
    """Claim that holds the person's name, by which console and audit know them."""
    role_claim: str = "groups"
    """Claim that holds the person's groups; a dot leads into a claim: realm_access.roles."""
    viewers: tuple[str, ...] = ()
    """Groups whose members have the role viewer."""
    operators: tuple[str, ...] = ()
    """Groups whose members have the role operator; of several roles the highest counts."""
    admins: tuple[str, ...] = ()
    """Groups whose members have the role admin."""
    clock_skew_seconds: Annotated[int, Field(ge=0, le=300)] = 60
    """By how much the clocks of node and provider may differ, in seconds."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    """How long the provider may take to answer, in seconds."""
    certificate_authorities: LocalPath | None = None
    """PEM file of the authorities of the provider's certificate; unset: those of the system."""

    @property
    def is_offered(self) -> bool:
        """Whether people may sign in by the provider."""
        return bool(self.issuer)

    @property
    def redirect_uri(self) -> str:
        """The address to which the provider sends browsers back."""
        return f"{self.address.rstrip('/')}/sign-in/oidc/back"

    @model_validator(mode="after")
    def _offer_is_whole(self) -> Self:
        if not self.is_offered:
            return self
        if not self.client_id:
            raise ValueError("client_id is missing: it comes from the registration of the node")
        if not is_safe_address(self.issuer) or urlsplit(self.issuer).query:
            raise ValueError("issuer must begin with https:// (http:// on this machine alone)")
        if not is_safe_address(self.address) or urlsplit(self.address).path not in {"", "/"}:
            raise ValueError(
                "address must be that of the console, such as https://node.hospital.example:11190"
            )
        if "openid" not in self.scopes:
            raise ValueError("scopes must hold openid")
        if not (self.viewers or self.operators or self.admins):
            raise ValueError(
                "name a group under viewers, operators or admins: nobody could sign in without"
            )
        return self


def is_safe_address(address: str) -> bool:
    """Return whether nobody on the network can read or change what goes to an address."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if host is None or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
