"""The process of the DICOMweb service: python -m dicom_node.dicomweb.web_process DESCRIPTOR.

It gets its order on standard input, which then stays open: its end, or that of the node, ends this
process. It ends by itself when a certificate has changed, and the node starts another.
"""

import asyncio
import pickle
import resource
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dicom_node.dicomweb.application import CERTIFICATE, Service
from dicom_node.dicomweb.reading import Shelf
from dicom_node.dicomweb.web_server import Order
from dicom_node.errors import SettingsError
from dicom_node.logs import configure_logs
from dicom_node.receive.files.file_intake import prepare_spool
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.tls import server_context, states_of

log = structlog.get_logger("dicom_node.dicomweb")

MAXIMUM_MEMORY_BYTES: Final = 2**30
"""Data of the process; a request that needs more fails."""

_LOOK_SECONDS: Final = 1.0
_LEAVE_SECONDS: Final = 20
_KEEP_ALIVE_SECONDS: Final = 15


def main() -> None:
    """Serve until the node ends this process."""
    # From the node's own pipe: neither the command line nor the environment, which others see.
    order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301
    configure_logs(order.log_format)
    resource.setrlimit(resource.RLIMIT_DATA, (MAXIMUM_MEMORY_BYTES, MAXIMUM_MEMORY_BYTES))
    spool = Spool(order.spool, minimum_free_bytes=order.receive.minimum_free_bytes)
    prepare_spool(spool)
    service = Service(
        settings=order.settings,
        receive=order.receive,
        spool=spool,
        shelf=Shelf(Database(order.ledger_url), spool),
    )
    asyncio.run(_serve(order, service))


async def _serve(order: Order, service: Service) -> None:
    seen = states_of(order.tls) if order.settings.tls else {}
    server = uvicorn.Server(_configuration(order, service))
    ending = asyncio.create_task(_end_with_the_node(server))
    renewing = asyncio.create_task(_end_with_the_certificates(server, order, seen))
    try:
        await server.serve(sockets=[socket.socket(fileno=int(sys.argv[1]))])
    finally:
        ending.cancel()
        renewing.cancel()


def _configuration(order: Order, service: Service) -> uvicorn.Config:
    class Protocol(_Impatient):
        seconds = order.receive.request_timeout_seconds

    configuration = uvicorn.Config(
        service.application(),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=order.settings.maximum_connections,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_LEAVE_SECONDS,
    )
    configuration.load()
    if order.settings.tls:
        configuration.ssl = server_context(
            order.tls, asks_for_certificate=order.settings.require_client_certificate
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
    server: uvicorn.Server, order: Order, seen: Mapping[Path, object]
) -> None:
    """End once renewed certificates serve; while they do not fit together, the former ones do."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        states = states_of(order.tls) if order.settings.tls else {}
        if states == seen:
            continue
        seen = states
        try:
            server_context(
                order.tls, asks_for_certificate=order.settings.require_client_certificate
            )
        except SettingsError as error:
            log.warning("certificates_not_renewed", reason=error.reason, detail=str(error))
        else:
            log.info("certificates_renewed")
            server.should_exit = True


if __name__ == "__main__":
    main()
