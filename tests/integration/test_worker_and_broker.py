"""A worker outlives a broker that refuses what it asks for a while."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from kombu import Connection
from ports import free_port
from services import BIN, Redis, Service, wait_for

from dicom_node.studies.broker import ANALYZE_TASK, GPU_QUEUE, Broker, celery_configuration

Trouble = Callable[[redis.Redis], object]

TROUBLES: dict[str, tuple[str, Trouble, Trouble]] = {
    "read-only": (
        "ReadOnlyError",
        lambda client: client.replicaof("127.0.0.1", str(free_port())),
        lambda client: client.replicaof("NO", "ONE"),
    ),
    "another's key": (
        "ResponseError",
        lambda client: client.set("gpu", "theirs"),
        lambda client: client.delete("gpu"),
    ),
}


def test_refusal_of_the_broker_counts_as_a_lost_connection() -> None:
    transport = celery_configuration("redis://localhost/0")["broker_transport"]

    with Connection("redis://localhost/0", transport=transport) as connection:
        assert issubclass(redis.exceptions.OutOfMemoryError, connection.connection_errors)
        assert issubclass(redis.exceptions.ReadOnlyError, connection.connection_errors)


@pytest.mark.long
@pytest.mark.parametrize("trouble", TROUBLES)
def test_worker_goes_on_when_the_broker_is_well_again(tmp_path: Path, trouble: str) -> None:
    told, begin, end = TROUBLES[trouble]
    server = Redis(tmp_path).start()
    url = f"redis://localhost:{server.port}/0"
    config = tmp_path / "mammoclip.toml"
    config.write_text(f'spool = "spool"\nlog_format = "json"\n[broker]\nurl = "{url}"\n')
    command = [str(BIN / "celery"), "-A", "worker", "worker", "-P", "solo"]
    environment = {"MAMMOCLIP_CONFIG": str(config)}
    worker = Service("worker", command, tmp_path / "worker.log", environment).start()
    client = redis.Redis(port=server.port)
    try:
        waits = lambda: any(one["cmd"] == "brpop" for one in client.client_list())  # noqa: E731
        wait_for(waits, seconds=60, what="the worker waits for messages")
        begin(client)
        wait_for(lambda: told in worker.output(), seconds=60, what="the worker tells of it")
        end(client)

        Broker(url).notify(ANALYZE_TASK, GPU_QUEUE, [1])

        wait_for(lambda: client.llen("gpu") == 0, seconds=60, what="the message is taken")
        worker.require_alive()
        # Told once, however often it was tried.
        assert worker.output().count('"broker_lost"') <= 2
    finally:
        client.close()
        worker.kill()
        server.kill()
