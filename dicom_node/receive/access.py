"""Decides who may open an association: by AE titles, by network, and by certificate."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dicom_node.settings.ways_in.receive import ReceiveSettings

REJECTED_PERMANENT: Final = 0x01
SERVICE_USER: Final = 0x01
CALLING_AE_TITLE_NOT_RECOGNIZED: Final = 0x03
CALLED_AE_TITLE_NOT_RECOGNIZED: Final = 0x07
"""Result, source and reasons of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

_NAMES_OF_SAN: Final = frozenset({"DNS", "URI", "IP Address"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A peer that asks for an association.

    Attributes
    ----------
    address : IP address from which it calls
    certificate : what `ssl.SSLSocket.getpeercert` returns; None or empty without a certificate
    """

    calling_ae_title: str
    called_ae_title: str
    address: str
    certificate: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected, permanently and by the service user.

    Attributes
    ----------
    diagnostic : reason of the A-ASSOCIATE-RJ (PS3.8 9.3.4)
    reason : stable word for the log, which tells more than the peer is told
    """

    diagnostic: int
    reason: str


def rejection_of(caller: Caller, settings: ReceiveSettings) -> Rejection | None:
    """Return why a caller is rejected, or None if it may open an association."""
    known = {settings.ae_title, *settings.called_ae_titles}
    if settings.require_called_ae_title and caller.called_ae_title not in known:
        return Rejection(CALLED_AE_TITLE_NOT_RECOGNIZED, "called-ae-title-not-recognized")
    # A peer that may not call is told no more than that its AE title is not known here.
    reason = _calling_problem(caller, settings)
    return None if reason is None else Rejection(CALLING_AE_TITLE_NOT_RECOGNIZED, reason)


def _calling_problem(caller: Caller, settings: ReceiveSettings) -> str | None:
    if not is_within(caller.address, settings.networks):
        return "network-not-allowed"
    title = caller.calling_ae_title
    entries = [entry for entry in settings.senders if entry.ae_title == title]
    is_listed = title in settings.calling_ae_titles
    is_anyone = not settings.calling_ae_titles and not settings.senders
    if not (entries or is_listed or is_anyone):
        return "calling-ae-title-not-recognized"
    here = [entry for entry in entries if is_within(caller.address, entry.networks)]
    if not (here or is_listed or is_anyone):
        return "network-not-allowed-for-ae-title"
    if settings.certificate_names == "unbound":
        return None
    wanted = {entry.certificate_name or title for entry in here} or {title}
    if is_named(wanted, caller.certificate or {}, settings.certificate_names):
        return None
    return "certificate-names-another-ae-title"


def is_named(wanted: set[str], certificate: Mapping[str, Any], where: str) -> bool:
    """Return whether a certificate holds one of the names, see receive.certificate_names."""
    if where == "subject":
        pairs = [pair for attributes in certificate.get("subject", ()) for pair in attributes]
        return any(key == "commonName" and value in wanted for key, value in pairs)
    # DNS names know no upper and lower case.
    names = {name.casefold() for name in wanted}
    return any(
        kind in _NAMES_OF_SAN and value.casefold() in names
        for kind, value in certificate.get("subjectAltName", ())
    )


def is_within(
    address: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> bool:
    """Return whether an address lies within one of the networks, or there are none."""
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    # A socket that listens for both versions writes IPv4 addresses as ::ffff:10.1.2.3.
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)
