"""Whether the node works, for probes and Prometheus: by disk and listener, not by any archive."""

import os
import shutil
import socket
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse, PlainTextResponse

from dicom_node.commands.observe.metrics import metrics_text
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.sign_in.roles import Role

routes = Routes("health")

_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
_CONNECT_SECONDS: Final = 3.0


@routes.get("/healthz", None)
def healthz(_request: Request) -> Any:
    """Say that this process answers."""
    return {"status": "ok"}


@routes.get("/readyz", None)
def readyz(request: Request) -> Any:
    """Say whether the node can receive: what is sent to it is taken and kept."""
    site = site_of(request)
    found = {"disk": _disk(site), "listener": _listener(site)}
    is_ready = not any(found.values())
    return JSONResponse(
        {
            "status": "ready" if is_ready else "not ready",
            **{k: v or "ok" for k, v in found.items()},
        },
        status_code=200 if is_ready else 503,
    )


@routes.get("/api/openapi.json", Role.VIEWER)
def openapi(request: Request) -> Any:
    """Return the OpenAPI document."""
    return request.app.openapi()


@routes.get("/metrics", Role.VIEWER, response_class=PlainTextResponse)
def metrics(request: Request) -> Any:
    """Return the figures of ledger and spool in Prometheus' text format."""
    site = site_of(request)
    text = metrics_text(site.settings, site.database)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _disk(site: Site) -> str:
    """Return why objects cannot be kept; empty if they can."""
    spool = site.settings.spool
    try:
        if shutil.disk_usage(spool).free < site.settings.receive.minimum_free_bytes:
            return "less is free than receive.minimum_free_bytes"
    except OSError:
        return "the spool is not there"
    return "" if os.access(spool, os.W_OK) else "the spool cannot be written"


def _listener(site: Site) -> str:
    """Return why the listener takes no connection; empty if it does."""
    receive = site.settings.receive
    address = (_ANY_ADDRESS.get(receive.host, receive.host), receive.port)
    try:
        socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
    except OSError:
        return "it takes no connections"
    return ""
