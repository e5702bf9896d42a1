"""The broker under TLS and an ACL, and brokers that are full, read-only, or another's."""

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import documents
import pytest
import redis
from certificates import Authority
from kombu import Exchange, Queue
from ports import free_port
from services import Redis, wait_for

from dicom_node.errors import BrokerDownError
from dicom_node.settings.settings import Settings
from dicom_node.studies.broker import ANALYZE_TASK, GPU_QUEUE, Broker, broker_options
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Study

PASSWORD = "s3cret-of-the-broker"

StartRedis = Callable[..., Redis]


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    started: list[Redis] = []

    def start(*options: str, **how: Any) -> Redis:
        server = Redis(tmp_path, *options, **how)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.kill()


def broker_at(port: int, *, scheme: str = "redis", user: str = "", **options: Any) -> Broker:
    url = f"{scheme}://{user}localhost:{port}/0"
    settings = Settings.model_validate({"broker": {"url": url, **options}})
    return Broker(**broker_options(settings))


def refusal(broker: Broker) -> str:
    """Return what `check` says of a broker, and see that a message is refused likewise."""
    with pytest.raises(BrokerDownError) as checked:
        broker.check()
    with pytest.raises(BrokerDownError) as notified:
        broker.notify(ANALYZE_TASK, GPU_QUEUE, [1])
    for caught in (checked, notified):
        assert PASSWORD not in str(caught.value)
    return str(checked.value)


def client_of(server: Redis, **options: Any) -> redis.Redis:
    return redis.Redis(port=server.port, **options)


def test_good_broker_is_left_as_it_was(start_redis: StartRedis) -> None:
    server = start_redis()

    broker_at(server.port).check()

    with client_of(server) as client:
        assert client.dbsize() == 0


def test_full_broker_is_told_as_full(start_redis: StartRedis) -> None:
    server = start_redis("--maxmemory", "1", "--maxmemory-policy", "noeviction")

    assert "its memory is full" in refusal(broker_at(server.port))


def test_read_only_broker_is_told_as_a_replica(start_redis: StartRedis) -> None:
    server = start_redis("--replicaof", f"127.0.0.1 {free_port()}")

    assert "read-only replica" in refusal(broker_at(server.port))


def test_broker_that_cannot_write_its_disk_is_told(start_redis: StartRedis) -> None:
    server = start_redis()
    with client_of(server) as client:
        client.config_set("save", "1 1")
        client.set("key", "value")
        server.data.rmdir()
        client.bgsave()
        wait_for(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err",
            seconds=20,
            what="Redis has failed to write",
        )

    assert "cannot write to its disk" in refusal(broker_at(server.port))


def test_wrong_password_is_told_as_such(start_redis: StartRedis) -> None:
    server = start_redis("--requirepass", PASSWORD)

    for user in ("", f":{PASSWORD}-not@"):
        assert "refuses the user and password" in refusal(broker_at(server.port, user=user))


def test_missing_permission_is_told_with_where_to_look(start_redis: StartRedis) -> None:
    server = start_redis("--user", *f"node on >{PASSWORD} ~* &* +@all -zadd -lpush".split())

    told = refusal(broker_at(server.port, user=f"node:{PASSWORD}@"))

    assert "compare its ACL rule with docs/security.md" in told


@pytest.mark.parametrize("kind", ["string", "messages"])
def test_broker_of_another_team_is_told_as_such(start_redis: StartRedis, kind: str) -> None:
    server = start_redis()
    with client_of(server) as client:
        if kind == "string":
            client.set("gpu", "theirs")
        else:
            client.lpush("gpu", json.dumps({"headers": {"task": "theirs.train"}}))

        with pytest.raises(BrokerDownError, match="data of another application"):
            broker_at(server.port).check()

        broker_at(server.port, key_prefix="mammoclip:").check()


def test_what_answers_there_may_be_no_broker() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "no broker" in refusal(broker_at(port))


class answering:  # noqa: N801  used as a context manager
    """A server that answers anything with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return self._socket.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_all, args=(line,), daemon=True).start()

    def _answer_all(self, line: socket.socket) -> None:
        with line:
            try:
                while line.recv(4096):
                    line.sendall(self._answer)
            except OSError:
                return


def test_nothing_is_lost_while_the_broker_is_full(start_redis: StartRedis, tmp_path: Path) -> None:
    server = start_redis("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    database = Database(f"sqlite:///{tmp_path}/ledger.sqlite")
    database.migrate()
    now = datetime.now(UTC)
    with database.writing() as session:
        study = Study(
            study_instance_uid="1.2.3", state=StudyState.SETTLED, version=0, patient_digest="",
            revision=1, remark="", first_received_at=now, last_received_at=now,
        )  # fmt: skip
        session.add(study)
        session.flush()
        session.add(Analysis(
            study_id=study.id, revision=1, state=AnalysisState.DUE, version=0, attempts=0,
            due_at=now, created_at=now, lease_holder="", reason="", bundle="",
        ))  # fmt: skip
    broker = broker_at(server.port)
    dispatcher = Dispatcher(
        database, broker, redispatch_after=timedelta(seconds=30), maximum_attempts=3
    )
    with pytest.raises(BrokerDownError):
        dispatcher.tick(now)

    with client_of(server) as client:
        client.config_set("maxmemory", "0")
    dispatcher.tick(now)

    assert broker.waiting(GPU_QUEUE) == 1
    database.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def tls_options(authority: Authority, **how: Any) -> list[str]:
    shown = authority.issue("broker", **how)
    return ["--tls-cert-file", str(shown.file), "--tls-key-file", str(shown.key),
            "--tls-ca-cert-file", str(authority.file)]  # fmt: skip


def certificates_of(authority: Authority) -> dict[str, Any]:
    own = authority.issue("node")
    return {"certificate_authorities": authority.file, "certificate": own.file,
            "private_key": own.key}  # fmt: skip


def test_broker_is_used_over_tls_with_a_client_certificate(
    start_redis: StartRedis, authority: Authority
) -> None:
    server = start_redis(*tls_options(authority), "--tls-auth-clients", "yes", tls=True)
    broker = broker_at(server.port, scheme="rediss", **certificates_of(authority))

    broker.check()
    broker.notify(ANALYZE_TASK, GPU_QUEUE, [1])

    assert broker.waiting(GPU_QUEUE) == 1


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"san": "DNS:elsewhere"}, "Hostname mismatch"),
        ({"days": -1}, "certificate has expired"),
    ],
)
def test_broker_with_a_wrong_certificate_is_not_used(
    start_redis: StartRedis, authority: Authority, how: dict[str, Any], told: str
) -> None:
    server = start_redis(*tls_options(authority, **how), tls=True)

    said = refusal(broker_at(server.port, scheme="rediss", **certificates_of(authority)))

    assert f"TLS failed: certificate refused: {told}" in said


def test_broker_of_another_authority_is_not_used(
    start_redis: StartRedis, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "Another Authority")
    server = start_redis(*tls_options(other), "--tls-auth-clients", "no", tls=True)

    said = refusal(broker_at(server.port, scheme="rediss", certificate_authorities=authority.file))

    assert "TLS failed: certificate refused" in said


def test_broker_of_old_versions_only_is_not_used(
    start_redis: StartRedis, authority: Authority
) -> None:
    old = ["--tls-protocols", "TLSv1.1", "--tls-ciphers", "ALL:@SECLEVEL=0"]
    server = start_redis(*tls_options(authority), *old, tls=True)

    assert "TLS failed" in refusal(
        broker_at(server.port, scheme="rediss", **certificates_of(authority))
    )


def test_plain_url_does_not_reach_a_broker_of_tls(
    start_redis: StartRedis, authority: Authority
) -> None:
    server = start_redis(*tls_options(authority), tls=True)

    assert "the broker cannot be used" in refusal(broker_at(server.port))


def acl_rule() -> str:
    """Return the rule that docs/security.md gives, with a password of the test's."""
    (block,) = [
        block
        for block in documents.blocks_of(documents.ROOT / "docs" / "security.md")
        if block.startswith("user mammoclip ")
    ]
    rule = re.sub(r"\s*\\\n\s*", " ", block).strip()
    return rule.replace(">PASSWORD", f">{PASSWORD}").removeprefix("user ")


def test_documented_rule_allows_messages(start_redis: StartRedis) -> None:
    server = start_redis("--user", *acl_rule().split())
    broker = broker_at(server.port, user=f"mammoclip:{PASSWORD}@", key_prefix="mammoclip:")

    broker.check()
    broker.notify(ANALYZE_TASK, GPU_QUEUE, [1, 2])

    assert broker.waiting(GPU_QUEUE) == 2


def test_message_of_a_lost_worker_comes_back_under_the_rule(start_redis: StartRedis) -> None:
    server = start_redis("--user", *acl_rule().split())
    broker = broker_at(server.port, user=f"mammoclip:{PASSWORD}@", key_prefix="mammoclip:")
    broker._app.conf.broker_transport_options["visibility_timeout"] = -1  # overdue at once
    broker.notify(ANALYZE_TASK, GPU_QUEUE, [1])
    received: list[Any] = []
    with broker._app.connection_for_read() as connection:
        queue = Queue(GPU_QUEUE, Exchange(GPU_QUEUE, type="direct"), routing_key=GPU_QUEUE)
        on_message = lambda _body, message: received.append(message)  # noqa: E731  not acknowledged
        with connection.Consumer([queue], accept=["json"], callbacks=[on_message]):
            connection.drain_events(timeout=10)
        assert (len(received), broker.waiting(GPU_QUEUE)) == (1, 0)

        connection.default_channel.qos.restore_visible(interval=1)

        assert broker.waiting(GPU_QUEUE) == 1


def test_rabbitmq_is_checked_with_its_name(authority: Authority) -> None:
    url = "amqps://node:pw@broker.example:5671//"
    settings = Settings.model_validate(
        {"broker": {"url": url}, "tls": {"certificate_authorities": authority.file}}
    )

    tls = broker_options(settings)["tls"]

    assert (tls["server_hostname"], tls["cert_reqs"]) == ("broker.example", ssl.CERT_REQUIRED)
    assert tls["ca_certs"] == str(authority.file)


@pytest.mark.parametrize(
    "command",
    [
        "GET theirs",
        "LPUSH gpu x",
        "DEL theirs",
        "KEYS *",
        "SCAN 0",
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET *",
        "SLOWLOG GET",
        "SHUTDOWN",
        "REPLICAOF NO ONE",
        "MODULE LIST",
        "ACL LIST",
        "CLIENT LIST",
        "MONITOR",
        "SAVE",
        "EVAL return(1) 0",
        "FUNCTION LIST",
        "SCRIPT LOAD return(1)",
        "SUBSCRIBE theirs",
        "PUBLISH theirs x",
        "SELECT 5",
    ],
)
def test_documented_rule_allows_nothing_else(acl_client: redis.Redis, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        acl_client.execute_command(*command.split())


@pytest.fixture(scope="module")
def acl_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    server = Redis(tmp_path_factory.mktemp("acl"), "--user", *acl_rule().split()).start()
    client = client_of(server, username="mammoclip", password=PASSWORD)
    yield client
    client.close()
    server.kill()
