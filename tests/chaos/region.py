"""A region of hosts on a network: nodes, worker hosts, and a host for each service."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from host_network import HostNetwork
from postgresql import PostgreSQL
from pydicom.dataset import Dataset
from rabbitmq import RabbitMQ
from s3_server import BUCKET, KEY_ID, SECRET, S3Server
from sending import all_stored, send
from services import BIN, SETTINGS, Broker, Orthanc, Service, wait_for
from sqlalchemy import select, text

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries.reading import summaries
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis

NODES: Final = ("a", "b")
WORKERS: Final = ("w1", "w2", "w3", "w4")
SERVICES: Final = ("desk", "ledger", "broker", "store")
"""The desk has the archive and the scanner, and there the test asks its questions."""

HOSTS: Final = (*SERVICES, *NODES, *WORKERS[:3])

PORT: Final = 11112
_STORE: Final = """
[store]
bucket = "{bucket}"
endpoint = "http://{address}:{port}"
access_key_id = "{key}"
secret_access_key = "{secret}"
"""
_ARCHIVE: Final = """
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "{address}"
port = {port}
timeout_seconds = 5
confirm = "query"
[retention]
days = 30
"""


class OpenRedis(Broker):
    """The Redis-protocol server, which answers the whole network."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.command += ["--bind", "0.0.0.0", "--protected-mode", "no"]

    def url_at(self, address: str) -> str:
        return f"redis://{address}:{self.port}/0"


class OpenRabbitMQ(RabbitMQ):
    """RabbitMQ, which answers the whole network."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with Path(self.environment["RABBITMQ_CONFIG_FILE"]).open("a") as file:
            file.write("loopback_users = none\n")
        self.environment = {**self.environment, "RABBITMQ_NODE_IP_ADDRESS": "0.0.0.0"}

    def url_at(self, address: str) -> str:
        return f"amqp://guest:guest@{address}:{self.port}//"


class Region:
    """Hosts that share nothing but the network; reception alone writes to a node's own disk.

    Parameters
    ----------
    network : with the hosts of the services, and those of `NODES` and `WORKERS` that there are
    """

    times: ClassVar[dict[str, float]] = {
        "idle_seconds": 6,
        "heartbeat_seconds": 1,
        "lease_seconds": 6,
        "redispatch_seconds": 3,
    }

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        *,
        network: HostNetwork,
        ledger: PostgreSQL,
        broker: OpenRedis | OpenRabbitMQ,
    ) -> None:
        self.network, self.ledger, self.broker = network, ledger, broker
        self.store = S3Server(folder, listen="0.0.0.0")
        self.archive = Orthanc(folder, node_port=PORT)
        self.folder, self._bundle = folder, bundle
        self.nodes = [name for name in NODES if name in network.addresses]
        self.workers = [name for name in WORKERS if name in network.addresses]
        self.url = ""
        self.processes: dict[str, Service] = {}

    @contextmanager
    def running(self) -> Iterator["Region"]:
        with ExitStack() as started:
            for host, service in (
                ("ledger", self.ledger),
                ("broker", self.broker),
                ("store", self.store),
                ("desk", self.archive),
            ):
                started.callback(service.stop)
                self._start(host, service)
            self.url = self.ledger.new_database().replace(
                f"host={self.ledger.folder}", f"host={self.network.addresses['ledger']}"
            )
            for name in (*self.nodes, *self.workers):
                self.processes[name] = self._process(name)
                started.callback(self.processes[name].kill)
            first, *others = self.nodes
            self._start(first, self.processes[first])
            key = self.folder / first / "spool/identity.key"
            wait_for(key.is_file, seconds=60, what="the first node has made the key")
            for name in others:
                spool = self.folder / name / "spool"
                spool.mkdir(mode=0o700)
                (spool / key.name).write_bytes(key.read_bytes())
                (spool / key.name).chmod(0o600)
            for name in (*others, *self.workers):
                self._start(name, self.processes[name])
            with self.network.at("desk"):
                for node in self.nodes:
                    address = self.network.addresses[node]
                    wait_for(partial(self._listens, address), seconds=120, what=f"{node} listens")
                yield self

    def restart(self, host: str, service: Any) -> None:
        """Kill what runs on a host, and start it there again."""
        service.kill()
        self._start(host, service)

    def send(self, images: Sequence[Dataset], *nodes: str) -> None:
        """Send the images of a study from the scanner, each to the next of some nodes."""
        for number, image in enumerate(images):
            address = self.network.addresses[nodes[number % len(nodes)]]
            taken = partial(self._is_taken, image, address)
            wait_for(taken, seconds=120, what=f"the node at {address} takes an image")

    def holder(self) -> str:
        """Wait for a worker host that is in the middle of a study, and return its name."""
        held = wait_for(self._holders, seconds=120, what="a worker host analyses a study")
        return str(held[0])

    def holds(self, worker: str) -> bool:
        """Return whether a worker host has the lease of a study."""
        return worker in self._holders()

    def require_alive(self) -> None:
        for service in self.processes.values():
            service.require_alive()

    def wait_until_confirmed(self, studies: Sequence[Sequence[Dataset]], *, seconds: float) -> None:
        wanted = uids_of(studies)

        def are_confirmed() -> bool:
            self.require_alive()
            return wanted <= self.confirmed()

        wait_for(are_confirmed, seconds=seconds, what=f"{len(wanted)} studies are confirmed")

    def confirmed(self) -> set[str]:
        """Return the UIDs of the studies of which all results were found at the archive."""
        with closing(Database(self.url)) as database, database.reading() as session:
            found = summaries(session, limit=1000)
        return {one.study_instance_uid for one in found if one.proof == "confirmed"}

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with closing(Database(self.url)) as database, database.reading() as session:
            return [tuple(row) for row in session.execute(text(query), values)]

    def _holders(self) -> list[str]:
        query = select(Analysis.lease_holder).where(Analysis.state == AnalysisState.RUNNING)
        with closing(Database(self.url)) as database, database.reading() as session:
            holders = list(session.scalars(query))
        groups = {os.getpgid(int(holder.rpartition(":")[2])) for holder in holders}
        return [name for name in self.workers if self._pid_of(name) in groups]

    def _pid_of(self, name: str) -> int:
        process = self.processes[name].process
        assert process is not None
        return process.pid

    def _is_taken(self, image: Dataset, address: str) -> bool:
        return self._listens(address) and all_stored(send([image], PORT, address=address))

    def _listens(self, address: str) -> bool:
        try:
            socket.create_connection((address, PORT), timeout=5).close()
        except OSError:
            return False
        return True

    def _start(self, host: str, service: Any) -> None:
        with self.network.at(host):
            service.start()

    def _process(self, name: str) -> Service:
        folder = self.folder / name
        folder.mkdir()
        file = folder / "mammoclip.toml"
        file.write_text(self._settings())
        command = [str(BIN / "mammoclip-node"), "serve"]
        if name in WORKERS:
            command = self.worker_command(name)
        environment = {"MAMMOCLIP_CONFIG": str(file), "OMP_NUM_THREADS": "1"}
        return Service(name, command, folder / f"{name}.log", environment)

    def worker_command(self, name: str) -> list[str]:
        """Return what runs on a worker host."""
        command = [str(BIN / "celery"), "-A", "worker", "worker", "--concurrency", "1"]
        return [*command, "--hostname", f"celery@{name}"]

    def _settings(self) -> str:
        addresses = self.network.addresses
        store = _STORE.format(
            bucket=BUCKET,
            address=addresses["store"],
            port=self.store.port,
            key=KEY_ID,
            secret=SECRET,
        )
        archive = _ARCHIVE.format(address=addresses["desk"], port=self.archive.dicom_port)
        return SETTINGS.format(
            node_port=PORT,
            bundle=self._bundle,
            broker_url=self.broker.url_at(addresses["broker"]),
            ledger=f'[ledger]\nurl = "{self.url}"',
            destinations=store + archive,
            maximum_attempts=4,
            **self.times,
        ).replace("[receive]\n", '[receive]\nhost = "0.0.0.0"\n')


def answer_the_network(server: PostgreSQL) -> None:
    """Let a server that is yet to start take connections of the hosts."""
    rules = server.folder / "hosts.conf"
    rules.write_text("local all all trust\nhost all all 10.77.0.0/24 trust\n")
    server.command += ["-c", "listen_addresses=*", "-c", f"hba_file={rules}"]


def uids_of(studies: Sequence[Sequence[Dataset]]) -> set[str]:
    return {images[0].StudyInstanceUID for images in studies}
