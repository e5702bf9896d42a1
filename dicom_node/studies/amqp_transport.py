"""kombu's AMQP transport, which does not wait for name servers that are silent or late."""

from typing import Any, Final

from kombu.transport import pyamqp

from dicom_node.name_lookup import connected_to_one_of, look_up

_LOOK_UP_SECONDS: Final = 5.0
"""Longest wait for the address of the broker: no time-out of the library reaches the resolver."""


class _FoundConnection(pyamqp.Connection):  # type: ignore[misc]  # kombu has no types
    """A connection to one of the addresses of the broker, which is looked up in bounded time."""

    def Transport(self, *arguments: Any, **options: Any) -> Any:  # noqa: N802  the library's name
        """Make the transport; TLS has the name of the broker from the options, not from here."""
        transport = super().Transport(*arguments, **options)
        connect = transport._connect

        def connect_to_name(name: str, port: int, seconds: float | None) -> None:
            addresses = look_up(name, _LOOK_UP_SECONDS)
            connected_to_one_of(addresses, lambda address: connect(address, port, seconds))

        transport._connect = connect_to_name
        return transport


class Transport(pyamqp.Transport):  # type: ignore[misc]  # kombu has no types
    """The transport for ``amqp://`` and ``amqps://``."""

    Connection: Any = _FoundConnection
