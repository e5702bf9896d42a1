"""Listeners on loopback for the tests of reception."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from listener_factory import Listening
from services import free_port

from dicom_node.receive.listener import Listener
from dicom_node.settings.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool


@pytest.fixture(scope="module")
def stopping() -> Iterator[ThreadPoolExecutor]:
    """Stop listeners beside the next test, because each takes half a second to look up."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool


@pytest.fixture
def listening(spool: Spool, stopping: ThreadPoolExecutor) -> Iterator[Listening]:
    """Start listeners of some settings, each on a free port; stop them at the end."""
    started: list[Listener] = []

    def start(on_spool: Spool = spool, **options: Any) -> tuple[Listener, int]:
        extra = {
            key: options.pop(key) for key in ("result_senders", "on_kept", "tls") if key in options
        }
        settings = ReceiveSettings(port=free_port(), **options)
        listener = Listener(settings, on_spool, **extra)
        listener.start()
        started.append(listener)
        return listener, settings.port

    yield start
    for listener in started:
        stopping.submit(listener.stop)
