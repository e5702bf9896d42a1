"""Which archives may report on storage commitment, and where they call from."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from dicom_node.name_lookup import look_up
from dicom_node.receive.access import Caller, is_named, is_within
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination

_KNOWN_FOR_SECONDS: Final = 60.0
"""How long the addresses of a host's name are used before it is looked up again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """An archive of which storage commitment is asked.

    Attributes
    ----------
    ae_titles : under which it calls
    called_ae_titles : under which the node may be called by it
    host : name or IP address from which it calls
    networks : from which it calls instead, if there are any
    """

    destination: str
    ae_titles: frozenset[str]
    called_ae_titles: frozenset[str]
    host: str
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


def reporters_of(settings: Settings) -> tuple[Reporter, ...]:
    """Return the archives of which the settings have storage commitment asked."""
    receive = settings.receive
    return tuple(
        Reporter(
            destination=one.name,
            ae_titles=frozenset({one.ae_title, *one.commitment_ae_titles}),
            called_ae_titles=frozenset(
                {receive.ae_title, *receive.called_ae_titles}
                | ({one.calling_ae_title} if one.calling_ae_title else set())
            ),
            host=one.host,
            networks=one.commitment_networks,
        )
        for one in settings.destinations
        if isinstance(one, DicomDestination) and one.asks_for_commitment
    )


class Reporters:
    """Tells the archives that may report from everybody else."""

    def __init__(self, reporters: Iterable[Reporter], settings: ReceiveSettings) -> None:
        self._reporters = tuple(reporters)
        self._settings = settings
        self._addresses = {one.host: _Host(one.host) for one in self._reporters}

    def destinations(self, caller: Caller) -> list[str]:
        """Return the names of the destinations for which a caller may report; never waits."""
        if self._settings.certificate_names != "unbound" and not is_named(
            {caller.calling_ae_title}, caller.certificate or {}, self._settings.certificate_names
        ):
            return []
        return [
            one.destination
            for one in self._reporters
            if caller.calling_ae_title in one.ae_titles
            and (
                caller.called_ae_title in one.called_ae_titles
                or not self._settings.require_called_ae_title
            )
            and self._calls_from_there(one, caller.address)
        ]

    def _calls_from_there(self, reporter: Reporter, address: str) -> bool:
        if reporter.networks:
            return is_within(address, reporter.networks)
        return _plain(address) in self._addresses[reporter.host].known()


class _Host:
    """The addresses of a host, looked up beside what asks for them."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._known: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._renew_at = 0.0
        try:
            ip_address(host)
        except ValueError:
            self.known()
        else:
            self._known, self._renew_at = frozenset({_plain(host)}), float("inf")

    def known(self) -> frozenset[str]:
        """Return the addresses as far as they are known; they are looked up for the next call."""
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew_at = time.monotonic() + _KNOWN_FOR_SECONDS
                # Name servers may take minutes, and associations wait meanwhile.
                thread = threading.Thread(target=self._look_up, name="addresses", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the machine is short of them: the next call tries again
                    self._renew_at = 0.0
        return self._known

    def _look_up(self) -> None:
        try:
            found = look_up(self._host, _KNOWN_FOR_SECONDS)
        except OSError:
            self._renew_at = 0.0
            return
        self._known = frozenset(map(_plain, found))


def _plain(address: str) -> str:
    """Return an address as text of one form, IPv4 also where a socket serves both versions."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)
