"""A real RabbitMQ is used over TLS, by its name and with a client certificate."""

from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from ports import free_port
from rabbitmq import rabbitmq

from dicom_node.errors import BrokerDownError
from dicom_node.settings.settings import Settings
from dicom_node.studies.broker import ANALYZE_TASK, GPU_QUEUE, Broker, broker_options

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def broker_at(port: int, authority: Authority, host: str = "localhost") -> Broker:
    own = authority.issue("node")
    broker: dict[str, Any] = {
        "url": f"amqps://guest:guest@{host}:{port}//",
        "certificate_authorities": authority.file,
        "certificate": own.file,
        "private_key": own.key,
    }
    return Broker(**broker_options(Settings.model_validate({"broker": broker})))


def test_rabbitmq_is_used_over_tls_and_only_that_of_the_authority(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other", "Another")
    shown, port = authority.issue("localhost", bits=2048), free_port()
    options = (
        f"listeners.ssl.default = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {authority.file}",
        f"ssl_options.certfile = {shown.file}",
        f"ssl_options.keyfile = {shown.key}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    )
    with rabbitmq(tmp_path, *options):
        broker = broker_at(port, authority)
        broker.check()
        broker.notify(ANALYZE_TASK, GPU_QUEUE, [1, 2])
        assert broker.waiting(GPU_QUEUE) == 2

        with pytest.raises(BrokerDownError, match="TLS failed: certificate refused"):
            broker_at(port, other).check()
