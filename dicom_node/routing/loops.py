"""Finds destinations that are the node itself, which would receive its own results."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from dicom_node.settings.rules import ResultRuleSettings, RuleSettings, place_of
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.dicomweb import DicomwebSettings
from dicom_node.settings.ways_in.hl7 import Hl7Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import AnyDestination, DicomDestination
from dicom_node.settings.ways_out.reporting import Hl7Destination

_Listener = ReceiveSettings | DicomwebSettings | Hl7Settings
_PORTS_OF_SCHEMES: Final = {"http": 80, "https": 443}


def loops(settings: Settings) -> Iterator[str]:
    """Name the rules that send results back to the node, and what goes there without a rule."""
    own = {one.name for one in settings.destinations if _is_this_node(one, settings)}
    sections: tuple[tuple[str, Sequence[RuleSettings | ResultRuleSettings]], ...] = (
        ("rules", settings.rules),
        ("result_rules", settings.result_rules),
    )
    named: set[str] = set()
    for section, rules in sections:
        for number, rule in enumerate(rules):
            for name in sorted(own & {one.name for one in rule.destinations or ()}):
                named.add(name)
                yield f"{place_of(section, number, rule.name)}: {_in_words(name)}"
    for name in sorted(own - named):
        yield f"the default rule: {_in_words(name)}"


def _in_words(name: str) -> str:
    return f"a loop: destination {name} is this node, which would receive its own results"


def _is_this_node(destination: AnyDestination, settings: Settings) -> bool:
    receive, dicomweb, hl7 = settings.receive, settings.dicomweb, settings.hl7
    if isinstance(destination, DicomDestination):
        titles = {receive.ae_title, *receive.called_ae_titles}
        is_called = destination.ae_title in titles or not receive.require_called_ae_title
        return is_called and _is_here(destination.host, destination.port, receive)
    if isinstance(destination, Hl7Destination):
        return hl7.enabled and _is_here(destination.host, destination.port, hl7)
    parts = urlsplit(destination.url)
    port = parts.port or _PORTS_OF_SCHEMES[parts.scheme.lower()]
    return dicomweb.enabled and _is_here(parts.hostname or "", port, dicomweb)


def _is_here(host: str, port: int, listener: _Listener) -> bool:
    """Return whether an address is that of one of the node's own listeners."""
    if port != listener.port:
        return False
    name = host.strip("[]").rstrip(".").casefold()
    if name in {"localhost", listener.host.casefold(), socket.gethostname().casefold()}:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        # The system's own resolver reads 127.1 and the like as an address too.
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, UnicodeEncodeError):
            return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified) or _is_of_this_machine(str(mapped))


def _is_of_this_machine(address: str) -> bool:
    """Return whether the machine would call an address from that address; nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((address, 9))
        return bool(probe.getsockname()[0] == address)
    return False
