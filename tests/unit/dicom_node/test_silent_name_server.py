"""A node whose name servers say nothing receives, settles and ends; then all goes on by itself."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from node_factory import STUDY_UID, four_views
from ports import free_port
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sending import send
from services import wait_for
from sqlalchemy import select

from dicom_node import name_lookup
from dicom_node.audit import syslog_sender
from dicom_node.errors import BrokerDownError
from dicom_node.node_process import running_node
from dicom_node.settings.settings import Settings
from dicom_node.studies import amqp_transport, redis_transport
from dicom_node.studies.broker import GPU_QUEUE, Broker, broker_options
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Analysis

pytestmark = pytest.mark.timeout(120)


class NameServer:
    """Says nothing until it may, then that every host of a test is this machine."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: set[str] = set()
        self._system = socket.getaddrinfo

    def __call__(self, host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(".example"):
            self.asked.add(str(host))
            self.may_answer.wait(120)
            host = "127.0.0.1"
        return self._system(host, *arguments, **options)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    monkeypatch.setattr(name_lookup, "_UNDER_WAY", {})
    for module in (redis_transport, amqp_transport, syslog_sender):
        monkeypatch.setattr(module, "_LOOK_UP_SECONDS", 0.2)
    yield server
    server.may_answer.set()


def settings_of(folder: Path, broker: str, **further: Any) -> Settings:
    return Settings.model_validate(
        {
            "spool": folder / "spool",
            "receive": {"port": free_port(), "minimum_free_bytes": 1},
            "settling": {"idle_seconds": 0.5, "grace_seconds": 0.1},
            "broker": {"url": f"{broker}://broker.example:{free_port()}"},
            **further,
        }
    )


@pytest.mark.parametrize("broker", ["redis", "amqp"])
def test_broker_that_no_name_server_knows_of_is_waited_for_briefly(
    tmp_path: Path, broker: str, name_server: NameServer
) -> None:
    with pytest.raises(BrokerDownError):
        Broker(**broker_options(settings_of(tmp_path, broker))).waiting(GPU_QUEUE)

    assert name_server.asked == {"broker.example"}


@pytest.mark.parametrize("broker", ["redis", "amqp"])
def test_node_receives_settles_and_ends(
    tmp_path: Path, broker: str, name_server: NameServer, log_lines: list[Any]
) -> None:
    peer = {"ae_title": "ARCHIVE", "host": "archive.example", "port": 104, "timeout_seconds": 0.5}
    settings = settings_of(
        tmp_path,
        broker,
        audit={"syslog_host": "collector.example"},
        destinations=[
            {"name": "archive", **peer},
            {
                "name": "web",
                "kind": "dicomweb",
                "url": "https://web.example",
                "timeout_seconds": 0.5,
            },
        ],
    )

    with running_node(settings) as node:
        assert send([as_sent(one) for one in four_views()], settings.receive.port) == [0] * 4
        wait_for(lambda: rows(settings, Analysis), seconds=60, what="the study settles")
        told(log_lines, "broker_down")
        told(log_lines, "audit_collector_down")

        name_server.may_answer.set()
        another = [as_sent(one) for one in four_views()]
        for one in another:
            one.StudyInstanceUID = f"{STUDY_UID}.9"
        assert send(another, settings.receive.port) == [0] * 4
        wait_for(lambda: len(rows(settings, Analysis)) == 2, seconds=60, what="the next settles")

    assert name_server.asked >= {"broker.example", "collector.example"}
    assert not [thread for thread in node._threads if thread.is_alive()]


def as_sent(dataset: Dataset) -> Dataset:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def rows(settings: Settings, table: type[Any]) -> list[Any]:
    with closing(Database(settings.ledger_url)) as database:
        if not database.has_tables():
            return []
        with database.reading() as session:
            return list(session.scalars(select(table)))


def told(log_lines: list[Any], event: str) -> None:
    wait_for(
        lambda: [line for line in log_lines if line["event"] == event],
        seconds=60,
        what=f"{event} is told",
    )
