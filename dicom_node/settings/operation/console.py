"""The section [console]: the node's web console and REST API."""

from typing import Annotated

from pydantic import Field, PositiveInt, field_validator

from dicom_node.settings.operation.oidc import OidcSettings
from dicom_node.settings.section import Port, Section

_STUDY: str = "{study_instance_uid}"


class ConsoleSettings(Section):
    """The node's web console and REST API."""

    enabled: bool = False
    """Offer the console and the REST API; make an account first: mammoclip-node users add."""
    host: str = "127.0.0.1"
    """IP address to listen on; 0.0.0.0: all networks of this machine."""
    port: Port = 11190
    """TCP port to listen on, 1 to 65535."""
    tls: bool = False
    """Accept HTTPS only on this port, with the certificate of [tls]."""
    host_names: tuple[str, ...] = ()
    """Names by which browsers call the node, besides localhost and IP addresses."""
    maximum_connections: Annotated[int, Field(ge=1, le=1000)] = 40
    """Maximum number of simultaneous connections; others are answered 503."""
    idle_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 30
    """A person who does nothing for so long is signed out, in minutes."""
    longest_hours: Annotated[float, Field(gt=0, le=24 * 7)] = 12
    """A person is signed out after so long in any case, in hours."""
    analyze_wait_seconds: Annotated[float, Field(ge=0, le=300)] = 30
    """How long POST /api/analyze waits for findings before it answers 202, in seconds."""
    maximum_upload_bytes: PositiveInt = 2 * 1024**3
    """Largest body of a request, in bytes."""
    viewer_link: str = ""
    """Address of a study in the site's viewer, with {study_instance_uid}; empty: no link."""

    oidc: OidcSettings = OidcSettings()
    """Sign-in by the site's provider of identities, beside the accounts of the node."""

    @field_validator("viewer_link")
    @classmethod
    def _link_is_one(cls, link: str) -> str:
        if link and (_STUDY not in link or not link.startswith(("https://", "http://", "weasis:"))):
            raise ValueError(
                f"give an address that begins with https://, http:// or weasis: and has {_STUDY}"
            )
        return link
