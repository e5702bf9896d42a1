"""The section [[destinations]]: the archives that receive the results."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, PositiveFloat, Tag, field_validator

from dicom_node.settings.results import DEFAULT_PROFILE
from dicom_node.settings.section import AETitle, Name, Port, Secret
from dicom_node.settings.tls import Certificates


class DicomDestination(Certificates):
    """An archive that receives results by C-STORE."""

    kind: Literal["dicom"] = "dicom"
    name: Name
    ae_title: AETitle
    host: str
    port: Port = 104
    calling_ae_title: AETitle | None = None
    """Calling AE title. Default: receive.ae_title."""
    profile: Name = DEFAULT_PROFILE
    """What it is sent: ohif, workstation, pacs, all, or a profile under [profiles]."""
    timeout_seconds: PositiveFloat = 30.0
    tls: bool = False
    """Send over TLS; the certificates are those of [tls] unless this destination sets its own."""
    tls_server_name: str | None = None
    """Name or IP address in the archive's certificate (SAN). Default: host."""


class DicomwebDestination(Certificates):
    """An archive that receives results by STOW-RS."""

    kind: Literal["dicomweb"]
    name: Name
    url: str = Field(pattern=r"^https?://")
    """Service root, for example http://archive:8042/dicom-web"""
    profile: Name = DEFAULT_PROFILE
    """What it is sent: ohif, workstation, pacs, all, or a profile under [profiles]."""
    username: str | None = None
    password: Secret | None = None
    timeout_seconds: PositiveFloat = 30.0

    @field_validator("url")
    @classmethod
    def _url_holds_no_password(cls, url: str) -> str:
        if "@" in urlsplit(url).netloc:
            raise ValueError("set username and password instead of writing them into url")
        return url


def _kind_of(value: Any) -> str | None:
    kind = value.get("kind", "dicom") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


Destination = Annotated[
    Annotated[DicomDestination, Tag("dicom")] | Annotated[DicomwebDestination, Tag("dicomweb")],
    Discriminator(
        _kind_of,
        custom_error_type="unknown_kind",
        custom_error_message="kind must be dicom or dicomweb",
    ),
]
