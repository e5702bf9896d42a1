"""A broker that sends a byte now and then keeps no worker from ending."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from services import BIN, Service, wait_for

from dicom_node.studies.ledger.database import Database


@pytest.fixture
def dripping() -> Iterator[int]:
    """Give every connection a byte of a frame without an end, twice a second."""

    def drip(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while True:
                connection.sendall(b"\x01")
                time.sleep(0.5)

    def accept(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=drip, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_worker_that_is_told_to_end_does(tmp_path: Path, dripping: int, scheme: str) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'spool' / 'ledger.sqlite'}")) as database:
        database.migrate()
    config = tmp_path / "mammoclip.toml"
    url = f"{scheme}://127.0.0.1:{dripping}/0"
    config.write_text(f'spool = "spool"\n[broker]\nurl = "{url}"\n[work]\nshutdown_seconds = 1\n')
    command = [str(BIN / "celery"), "-A", "worker", "worker"]
    environment = {"MAMMOCLIP_CONFIG": str(config)}
    worker = Service("worker", command, tmp_path / "worker.log", environment).start()
    try:
        wait_for(lambda: "[queues]" in worker.output(), seconds=120, what="the worker starts")
        time.sleep(3)  # so that its loop is held by the broker
        assert worker.process is not None
        worker.process.terminate()

        assert worker.process.wait(60) in {0, 1}
    finally:
        worker.kill()
