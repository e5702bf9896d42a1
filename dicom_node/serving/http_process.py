"""What the processes of HTTP services share: bounds, certificates, and an end with the node.

A process gets its order on standard input, which then stays open: its end, or that of the node,
ends the process. It ends by itself when a certificate has changed, and the node starts another.
"""

import asyncio
import pickle
import resource
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dicom_node.errors import SettingsError
from dicom_node.logs import configure_logs
from dicom_node.settings.tls import TlsSettings
from dicom_node.tls import server_context, states_of

log = structlog.get_logger("dicom_node.serving")

CERTIFICATE: Final = "certificate"
"""Key of the client's certificate in the state of a request."""

_LOOK_SECONDS: Final = 1.0
_LEAVE_SECONDS: Final = 20
_KEEP_ALIVE_SECONDS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How connections are served.

    Attributes
    ----------
    tls : None: plain HTTP
    asks_for_certificate : whether clients must show one
    request_timeout_seconds : within which a request must have come
    """

    tls: TlsSettings | None
    asks_for_certificate: bool = False
    maximum_connections: int
    request_timeout_seconds: float


def order_of_the_node(*, memory_bytes: int) -> Any:
    """Return what this process is to do, and bound its memory.

    Parameters
    ----------
    memory_bytes : data of the process; a request that needs more fails
    """
    # From the node's own pipe: neither the command line nor the environment, which others see.
    order = pickle.load(sys.stdin.buffer)  # noqa: S301
    configure_logs(order.log_format)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    # A core dump would hold patient data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return order


def serve(application: Any, bounds: Bounds) -> None:
    """Serve an ASGI application on the inherited socket until the node ends this process."""
    asyncio.run(_serve(application, bounds))


async def _serve(application: Any, bounds: Bounds) -> None:
    seen = states_of(bounds.tls) if bounds.tls else {}
    server = uvicorn.Server(_configuration(application, bounds))
    ending = asyncio.create_task(_end_with_the_node(server))
    renewing = asyncio.create_task(_end_with_the_certificates(server, bounds, seen))
    try:
        await server.serve(sockets=[socket.socket(fileno=int(sys.argv[1]))])
    finally:
        ending.cancel()
        renewing.cancel()


def _configuration(application: Any, bounds: Bounds) -> uvicorn.Config:
    class Protocol(_Impatient):
        seconds = bounds.request_timeout_seconds

    configuration = uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=bounds.maximum_connections,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_LEAVE_SECONDS,
    )
    configuration.load()
    if bounds.tls:
        configuration.ssl = server_context(
            bounds.tls, asks_for_certificate=bounds.asks_for_certificate
        )
    return configuration


class _Impatient(H11Protocol):
    """Closes a connection whose request does not come, and tells the application who calls."""

    seconds: float

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        line = transport.get_extra_info("ssl_object")
        certificate = line.getpeercert() if line is not None else None
        self.app_state = {**self.app_state, CERTIFICATE: certificate}
        self._patience = self.loop.call_later(self.seconds, self._end_if_idle)

    def _end_if_idle(self) -> None:
        # Between two requests the server's own time for idle connections counts.
        has_begun = not self._has_served or bool(self.conn.trailing_data[0])
        if self._is_between_requests and has_begun:
            self.transport.close()
        elif not self.transport.is_closing():
            self._patience = self.loop.call_later(self.seconds, self._end_if_idle)

    @property
    def _has_served(self) -> bool:
        return bool(self.cycle)

    @property
    def _is_between_requests(self) -> bool:
        return not self._has_served or self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)


async def _end_with_the_node(server: uvicorn.Server) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.should_exit = server.force_exit = True


async def _end_with_the_certificates(
    server: uvicorn.Server, bounds: Bounds, seen: Mapping[Path, object]
) -> None:
    """End once renewed certificates serve; while they do not fit together, the former ones do."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        states = states_of(bounds.tls) if bounds.tls else {}
        if states == seen:
            continue
        seen = states
        try:
            assert bounds.tls is not None, "only certificates change"
            server_context(bounds.tls, asks_for_certificate=bounds.asks_for_certificate)
        except SettingsError as error:
            log.warning("certificates_not_renewed", reason=error.reason, detail=str(error))
        else:
            log.info("certificates_renewed")
            server.should_exit = True
