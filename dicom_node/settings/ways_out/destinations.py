"""The section [[destinations]]: the archives and reporting systems that receive the results."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    Discriminator,
    Field,
    IPvAnyNetwork,
    PositiveFloat,
    Tag,
    field_validator,
)

from dicom_node.settings.section import AETitle, Name, Port, Secret
from dicom_node.settings.ways_out.exchanging import Exchanging
from dicom_node.settings.ways_out.reporting import (
    FhirDestination,
    Hl7Destination,
    WebhookDestination,
)
from dicom_node.settings.ways_out.results import DEFAULT_PROFILE


class _Archive(Exchanging):
    """What an archive can be asked for besides, once it has taken results."""

    confirm_within_seconds: PositiveFloat = 3600.0
    """What the archive has accepted and does not show within this time is sent again."""
    holds_images: bool = False
    """The archive keeps images for good: ask it for those that the node has committed to keep for
    their senders ([[receive.commitment]]); what is found there the retention may remove."""
    canary: bool = False
    """Send the results of canary studies there too; a phantom's, under a reserved patient."""


class DicomDestination(_Archive):
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
    confirm: Literal["none", "query", "commitment", "commitment-or-query"] = "none"
    """Proof asked of the archive for what it has accepted: none, query (by C-FIND), commitment, or
    commitment-or-query (by C-FIND where the archive does not offer storage commitment)."""
    commitment_seconds: PositiveFloat = 3600.0
    """How long its answer on storage commitment is waited for; then it is asked anew."""
    commitment_ae_titles: tuple[AETitle, ...] = ()
    """Further AE titles under which the archive reports on storage commitment."""
    commitment_networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks from which it reports on storage commitment; empty: from host alone."""
    retrieve: Literal["c-get", "c-move"] = "c-get"
    """How former studies are retrieved from it: c-get, over the node's own association, or c-move,
    by which the archive sends them to the node's port."""
    move_ae_title: AETitle | None = None
    """AE title to which it sends them by C-MOVE. Default: receive.ae_title."""
    tls: bool = False
    """Send over TLS; the certificates are those of [tls] unless this destination sets its own."""
    tls_server_name: str | None = None
    """Name or IP address in the archive's certificate (SAN). Default: host."""

    @property
    def asks_for_commitment(self) -> bool:
        """Whether storage commitment is asked of it."""
        return self.confirm.startswith("commitment")


class DicomwebDestination(_Archive):
    """An archive that receives results by STOW-RS."""

    kind: Literal["dicomweb"]
    name: Name
    url: str = Field(pattern=r"^https?://")
    """Service root, for example http://archive:8042/dicom-web"""
    profile: Name = DEFAULT_PROFILE
    """What it is sent: ohif, workstation, pacs, all, or a profile under [profiles]."""
    confirm: Literal["none", "query"] = "none"
    """Proof asked of the archive for what it has accepted: none, or query (by QIDO-RS)."""
    username: str | None = None
    password: Secret | None = None

    @field_validator("url")
    @classmethod
    def _url_holds_no_password(cls, url: str) -> str:
        if "@" in urlsplit(url).netloc:
            raise ValueError("set username and password instead of writing them into url")
        return url


def _kind_of(value: Any) -> str | None:
    kind = value.get("kind", "dicom") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


ArchiveDestination = DicomDestination | DicomwebDestination
"""Kinds that are sent DICOM objects."""

HttpDestination = DicomwebDestination | FhirDestination | WebhookDestination
"""Kinds that are spoken to by HTTP."""

AnyDestination = ArchiveDestination | FhirDestination | Hl7Destination | WebhookDestination

KINDS: Final = ("dicom", "dicomweb", "fhir", "hl7", "webhook")

Destination = Annotated[
    Annotated[DicomDestination, Tag("dicom")]
    | Annotated[DicomwebDestination, Tag("dicomweb")]
    | Annotated[FhirDestination, Tag("fhir")]
    | Annotated[Hl7Destination, Tag("hl7")]
    | Annotated[WebhookDestination, Tag("webhook")],
    Discriminator(
        _kind_of,
        custom_error_type="unknown_kind",
        custom_error_message=f"kind must be one of {', '.join(KINDS)}",
    ),
]
