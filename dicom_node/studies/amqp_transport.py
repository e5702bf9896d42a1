"""kombu's AMQP transport: no silent name server holds it up, and no message breaks it."""

import struct
from collections.abc import Callable
from typing import Any, Final

import amqp
from amqp.method_framing import frame_handler
from amqp.serialization import loads
from kombu.transport import pyamqp

from dicom_node.name_lookup import connected_to_one_of, look_up

_LOOK_UP_SECONDS: Final = 5.0
"""Longest wait for the address of the broker: no time-out of the library reaches the resolver."""

_CONNECT_SECONDS: Final = 5.0
"""Longest wait for a connection where nobody has set another one."""

_Frame = tuple[int, int, bytes]
"""Its kind, its channel and what is in it (AMQP 0-9-1, 4.2.3)."""

_METHOD: Final = 1
_CONTENT_HEADER: Final = 2
_DELIVER: Final = struct.pack(">HH", *amqp.spec.Basic.Deliver)
_NO_PROPERTIES: Final = b"\0\0"
_NAMES_OF_DELIVER: Final = "sLbss"
"""The consumer's tag, the message's number, whether it came before, exchange and key (1.8.3.13)."""

_NO_NAMES: Final = b"\0\0"


class _FoundConnection(pyamqp.Connection):  # type: ignore[misc]  # kombu has no types
    """A connection to one of the addresses of the broker, which is looked up in bounded time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, frame_handler=_handler_of_frames, **options)

    def Transport(self, *arguments: Any, **options: Any) -> Any:  # noqa: N802  the library's name
        """Make the transport; TLS has the name of the broker from the options, not from here."""
        transport = super().Transport(*arguments, **options)
        connect = transport._connect

        def connect_to_name(name: str, port: int, seconds: float | None) -> None:
            connected_to_one_of(
                look_up(name, _LOOK_UP_SECONDS),
                lambda address, share: connect(address, port, share),
                _CONNECT_SECONDS if seconds is None else seconds,
            )

        transport._connect = connect_to_name
        return transport


class Transport(pyamqp.Transport):  # type: ignore[misc]  # kombu has no types
    """The transport for ``amqp://`` and ``amqps://``."""

    Connection: Any = _FoundConnection


def _handler_of_frames(
    connection: pyamqp.Connection, callback: Callable[..., Any]
) -> Callable[[_Frame], bool]:
    """Return the library's handler of frames, which is shown nothing that it cannot decode.

    Whatever it raises ends the connection, and most of it the worker. The message would stay in
    the queue and end each worker that takes it. Without properties it is none of ours: discarded.
    """
    handle = frame_handler(connection, callback)

    def on_frame(frame: _Frame) -> bool:
        kind, channel, content = frame
        if kind == _CONTENT_HEADER:
            content = _with_readable_properties(content)
        elif kind == _METHOD and content.startswith(_DELIVER):
            content = _with_readable_names(content)
        is_complete: bool = handle((kind, channel, content))
        return is_complete

    return on_frame


def _with_readable_properties(header: bytes) -> bytes:
    """Return the header of a message, without properties that cannot be decoded (2.3.5.2)."""
    try:
        amqp.Message().inbound_header(header)
    except Exception:  # noqa: BLE001  what the library's decoder raises has no common kind
        return header[: struct.calcsize(">HHQ")] + _NO_PROPERTIES
    return header


def _with_readable_names(deliver: bytes) -> bytes:
    """Return what announces a message, without names of exchange and key that are no UTF-8."""
    try:
        (*_, exchange, key), _ = loads(_NAMES_OF_DELIVER, deliver, len(_DELIVER))
        f"{exchange}{key}".encode()
    except UnicodeError:
        # The consumer's tag is a short string; 8 bytes of a number and one of flags follow.
        end = len(_DELIVER) + 1 + deliver[len(_DELIVER)] + 9
        return deliver[:end] + _NO_NAMES
    return deliver
