"""The node's DICOMweb service in its real process, on loopback."""

from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Authority
from ports import free_port
from web_factory import ANYONE, Serve, Served

from dicom_node.dicomweb.web_server import WebServer
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_in.dicomweb import DicomwebSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start services of some settings; stop them at the end."""
    started: list[WebServer] = []

    def start(
        *clients: dict[str, Any],
        receive: dict[str, Any] | None = None,
        tls_settings: TlsSettings = NO_CERTIFICATES,
        **options: Any,
    ) -> Served:
        settings = DicomwebSettings(
            enabled=True,
            port=free_port(),
            clients=[{"may": ["store", "read"], **one} for one in clients or (ANYONE,)],
            **options,
        )
        received = ReceiveSettings(minimum_free_bytes=1, **(receive or {}))
        spool = Spool(tmp_path_factory.mktemp("web") / "spool")
        ledger_url = f"sqlite:///{spool.root / 'ledger.sqlite'}"
        server = WebServer(
            settings, received, spool, tls=tls_settings, ledger_url=ledger_url, log_format="json"
        )
        server.start()
        started.append(server)
        scheme = "https" if settings.tls else "http"
        url = f"{scheme}://127.0.0.1:{settings.port}/dicomweb"
        return Served(
            url=url, port=settings.port, spool=spool, server=server, ledger_url=ledger_url
        )

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def served(serve: Serve) -> Served:
    return serve(
        ANYONE,
        receive={
            "maximum_object_bytes": 100_000,
            "request_timeout_seconds": 1,
            "pdu_timeout_seconds": 1,
        },
        maximum_objects=20,
    )


@pytest.fixture
def web(served: Served) -> Served:
    """Return a service whose spool is empty."""
    served.empty()
    return served


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
