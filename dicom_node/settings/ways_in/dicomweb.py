"""The section [dicomweb]: the node's own DICOMweb service."""

from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork, PositiveInt, field_validator, model_validator

from dicom_node.settings.section import AETitle, Name, Port, Secret, Section

_SHORTEST_TOKEN = 16


class DicomwebClientSettings(Section):
    """Who may use the node's DICOMweb service, and for what."""

    name: Name
    """Name in the log."""
    token: Secret | None = None
    """Bearer token that it shows, of at least 16 characters."""
    certificate_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """Name in its certificate (SAN); needs require_client_certificate."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks from which it calls; empty: all. Without token and certificate_name: needed."""
    may: tuple[Literal["store", "read"], ...] = ("store",)
    """What it may do: store (STOW-RS), read (QIDO-RS and WADO-RS)."""
    ae_title: AETitle = "DICOMWEB"
    """AE title under which what it stores counts, for settings that name senders."""

    @field_validator("token")
    @classmethod
    def _token_is_long(cls, token: Secret | None) -> Secret | None:
        if token is not None and len(token.get_secret_value()) < _SHORTEST_TOKEN:
            raise ValueError(f"a token needs at least {_SHORTEST_TOKEN} characters")
        return token

    @model_validator(mode="after")
    def _is_told_from_others(self) -> "DicomwebClientSettings":
        if self.token is None and self.certificate_name is None and not self.networks:
            raise ValueError(
                f"client {self.name}: set token or certificate_name, or the networks whose "
                "every machine may do this"
            )
        return self


class DicomwebSettings(Section):
    """The node's own DICOMweb service."""

    enabled: bool = False
    """Offer DICOMweb under /dicomweb."""
    host: str = "127.0.0.1"
    """IP address to listen on; 0.0.0.0: all networks of this machine."""
    port: Port = 11180
    """TCP port to listen on, 1 to 65535."""
    tls: bool = False
    """Accept HTTPS only on this port, with the certificate of [tls]."""
    require_client_certificate: bool = False
    """With tls: accept only clients with a certificate of tls.certificate_authorities."""
    host_names: tuple[str, ...] = ()
    """Names by which clients call the node, besides localhost and IP addresses."""
    origins: tuple[str, ...] = ()
    """Origins of web pages that may use it from a browser, for example "https://viewer.example"."""
    maximum_connections: Annotated[int, Field(ge=1, le=1000)] = 40
    """Maximum number of simultaneous connections; others are answered 503."""
    maximum_objects: PositiveInt = 10_000
    """Maximum number of objects in one request."""
    clients: tuple[DicomwebClientSettings, ...] = ()
    """Who may use it; with enabled at least one."""

    @model_validator(mode="after")
    def _somebody_may_use_it(self) -> "DicomwebSettings":
        if self.enabled and not self.clients:
            raise ValueError("enabled needs at least one block [[dicomweb.clients]]")
        names = [client.name for client in self.clients]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"clients: the name {', '.join(doubled)} is used twice")
        return self

    @model_validator(mode="after")
    def _certificates_are_asked_for(self) -> "DicomwebSettings":
        named = any(client.certificate_name is not None for client in self.clients)
        if self.enabled and named and not (self.tls and self.require_client_certificate):
            raise ValueError(
                "certificate_name needs tls = true and require_client_certificate = true"
            )
        return self
