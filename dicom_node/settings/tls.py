"""The section [tls]: the certificates by which the node and its peers know each other."""

from typing import Literal, Self

from pydantic import model_validator

from dicom_node.settings.section import LocalPath, Secret, Section


class Certificates(Section):
    """Certificates of the node and authorities of its peers; of [tls], or of one peer alone."""

    certificate: LocalPath | None = None
    """PEM file: the node's certificate, followed by those that link it to its authority."""
    private_key: LocalPath | None = None
    """PEM file: the key of the certificate, readable by the node's account only."""
    private_key_password: Secret | None = None
    """Password of the key, if it has one."""
    certificate_authorities: LocalPath | None = None
    """PEM file of the authorities that peers' certificates must come from."""

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together: set both or neither")
        return self


class TlsSettings(Certificates):
    """Certificates and TLS versions, by the BCP 195 profile (RFC 8996, RFC 9325; PS3.15 B)."""

    revocation_lists: LocalPath | None = None
    """PEM file with a revocation list (CRL) of each authority; unset: none is checked."""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    """Lowest TLS version, 1.2 or 1.3."""

    def for_peer(self, peer: Certificates) -> "TlsSettings":
        """Return these settings with what a peer's own section sets instead."""
        own: dict[str, object] = {}
        if peer.certificate_authorities is not None:
            own["certificate_authorities"] = peer.certificate_authorities
        if peer.certificate is not None:
            own["certificate"] = peer.certificate
            own["private_key"] = peer.private_key
            own["private_key_password"] = peer.private_key_password
        return self.model_copy(update=own)


NO_CERTIFICATES = TlsSettings()
"""The settings of a node without the section [tls]."""
