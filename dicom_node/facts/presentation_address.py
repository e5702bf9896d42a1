"""The address of a sender as file meta information holds it (PS3.10 7.1, 0002,0026)."""

import ipaddress
from typing import Final

_SCHEME: Final = "dicom://"


def presentation_address(address: str) -> str:
    """Return an IP address as Source Presentation Address; empty if it is none."""
    plain = _plain(address)
    if not plain:
        return ""
    return f"{_SCHEME}[{plain}]" if ":" in plain else f"{_SCHEME}{plain}"


def address_in(text: str) -> str:
    """Return the IP address of a Source Presentation Address; empty if it holds none."""
    rest = text.strip()
    if not rest.lower().startswith(_SCHEME):
        return ""
    host = rest[len(_SCHEME) :]
    return _plain(host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0])


def _plain(address: str) -> str:
    """Return an address in its usual form, one of IPv4 that came by a socket of IPv6 as IPv4."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)
