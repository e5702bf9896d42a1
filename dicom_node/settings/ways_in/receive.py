"""The section [receive]: how the node listens for mammograms."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork, PositiveFloat, PositiveInt, model_validator

from dicom_node.settings.section import AETitle, Port, Section


class SenderSettings(Section):
    """A sender: its AE title, where it calls from, and how its certificate names it."""

    ae_title: AETitle
    """AE title under which it calls."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks from which it may call, for example "10.1.2.0/24"; empty: receive.networks."""
    certificate_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """Name in its certificate, see receive.certificate_names. Default: the AE title."""


class CommitmentSettings(Section):
    """A sender that may ask the node for storage commitment, and where it takes the answer."""

    ae_title: AETitle
    """AE title under which it asks, and by which it is called for the report."""
    host: str
    """Name or IP address to which the report is sent."""
    port: Port = 104
    """Port to which the report is sent."""
    same_association: bool = False
    """Report over the association of the request as long as that is open, and only then by a call:
    for senders that wait there. Others may abort an association on which they expect no report."""
    tls: bool = False
    """Send the report over TLS, with the certificates of [tls]."""
    tls_server_name: str | None = None
    """Name or IP address in its certificate (SAN). Default: host."""


class ReceiveSettings(Section):
    """How the node listens for mammograms."""

    ae_title: AETitle = "MAMMOCLIP"
    """AE title of the node, up to 16 characters."""
    host: str = "127.0.0.1"
    """IP address to listen on; 0.0.0.0: all networks of this machine."""
    port: Port = 11112
    """TCP port to listen on, 1 to 65535."""
    called_ae_titles: tuple[AETitle, ...] = ()
    """Further AE titles under which senders may call the node."""
    require_called_ae_title: bool = True
    """Reject associations that call the node by another AE title; true or false."""
    calling_ae_titles: tuple[AETitle, ...] = ()
    """AE titles that may send from anywhere; empty and no [[receive.senders]]: all."""
    senders: tuple[SenderSettings, ...] = ()
    """Further AE titles that may send, each with its networks and its certificate's name."""
    commitment: tuple[CommitmentSettings, ...] = ()
    """Senders that may ask for storage commitment; empty: it is not offered."""
    announcers: tuple[AETitle, ...] = ()
    """AE titles that may announce images by MPPS and IAN; empty: neither is offered. They must be
    among those that may send."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks from which peers may call, for example "10.1.0.0/16"; empty: all."""
    tls: bool = False
    """Accept TLS only on this port, with the certificate of [tls]."""
    require_client_certificate: bool = True
    """With tls: accept only peers with a certificate of tls.certificate_authorities."""
    certificate_names: Literal["unbound", "subject", "san"] = "unbound"
    """Where a peer's certificate must hold its AE title: common name of the subject, or SAN."""
    secondary_capture_senders: tuple[AETitle, ...] = ()
    """AE titles whose Secondary Captures are accepted as mammograms; empty: none."""
    stat_senders: tuple[AETitle, ...] = ()
    """AE titles whose studies are analysed before all others, whatever their images state."""
    off_peak_senders: tuple[AETitle, ...] = ()
    """AE titles whose studies are analysed after all others, and within work.off_peak_hours."""
    radiograph_senders: tuple[AETitle, ...] = ()
    """AE titles whose CR and DX images of the breast are accepted as mammograms; empty: none."""
    assessment_senders: tuple[AETitle, ...] = ()
    """AE titles whose structured reports are read as assessments of results; empty: none."""
    assessment_decisions: Mapping[
        str, Literal["accepted", "modified", "rejected", "positive", "negative"]
    ] = Field(default_factory=dict)
    """What codes of readers' systems decide, by ``SCHEME:code``; without: their words."""
    processes: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that receive, all on the one port; one that fails costs its own associations."""
    process_memory_bytes: Annotated[int, Field(ge=200_000_000)] = 512_000_000
    """Memory limit of each receiving process in bytes; one that reaches it is replaced."""
    recycle_associations: PositiveInt = 5000
    """Associations after which a receiving process is replaced by a new one."""
    maximum_associations: Annotated[int, Field(ge=1, le=1000)] = 40
    """Maximum number of simultaneous associations; if all are at work, others are rejected."""
    maximum_associations_per_address: PositiveInt = 30
    """Maximum number of simultaneous associations from one IP address."""
    places_for_known_senders: Annotated[int, Field(ge=0)] = 8
    """Associations kept free for addresses that have sent before; at most half of all."""
    maximum_object_bytes: PositiveInt = 4_000_000_000
    """Maximum size of an object in bytes; larger ones are refused with status 0xA700."""
    minimum_free_bytes: PositiveInt = 2_000_000_000
    """Minimum free bytes on the spool's disk; with less, objects are refused with 0xA700."""
    request_timeout_seconds: PositiveFloat = 10.0
    """Seconds within which a connection must have sent its association request."""
    pdu_timeout_seconds: PositiveFloat = 30.0
    """Seconds within which a PDU must be complete, and within which an answer must be read."""
    progress_timeout_seconds: PositiveFloat = 30.0
    """Seconds within which an object must end, or 256 KiB more of it must have come."""
    idle_timeout_seconds: PositiveFloat = 60.0
    """Seconds without a message (after objects: without an object) before an abort."""

    @model_validator(mode="after")
    def _titles_stand_in_one_list(self) -> "ReceiveSettings":
        doubled = sorted({one.ae_title for one in self.senders} & set(self.calling_ae_titles))
        if doubled:
            raise ValueError(
                f"{', '.join(doubled)} stands in calling_ae_titles, from anywhere, and in senders; "
                "remove one"
            )
        return self

    @model_validator(mode="after")
    def _priorities_are_clear(self) -> "ReceiveSettings":
        doubled = sorted(set(self.stat_senders) & set(self.off_peak_senders))
        if doubled:
            raise ValueError(
                f"{', '.join(doubled)} stands in stat_senders and in off_peak_senders; remove one"
            )
        return self

    @model_validator(mode="after")
    def _certificates_are_asked_for(self) -> "ReceiveSettings":
        if self.certificate_names != "unbound" and not (
            self.tls and self.require_client_certificate
        ):
            raise ValueError(
                "certificate_names needs tls = true and require_client_certificate = true"
            )
        return self
