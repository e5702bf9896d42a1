"""Listeners on loopback for the tests of reception."""

from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Authority, Certificate
from listener_factory import Listening
from ports import free_port

from dicom_node.receive.listener import Listener
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def node_certificate(authority: Authority) -> Certificate:
    return authority.issue("node")


@pytest.fixture
def listening(spool: Spool) -> Iterator[Listening]:
    """Start listeners of some settings, each on a free port; stop them at the end."""
    started: list[Listener] = []

    def start(on_spool: Spool = spool, **options: Any) -> tuple[Listener, int]:
        extra = {key: options.pop(key) for key in ("on_kept", "tls_settings") if key in options}
        if tls := extra.pop("tls_settings", None):
            options["tls"] = True
            extra["tls"] = tls
        settings = ReceiveSettings(port=free_port(), **options)
        listener = Listener(settings, on_spool, **extra)
        listener.start()
        started.append(listener)
        return listener, settings.port

    yield start
    for listener in started:
        listener.stop()
