"""The peers of the lab: Orthanc, dcmtk's dcmqrscp and tiny-pacs, each a process of its own."""

import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ports import free_port
from services import Orthanc, Service, wait_for

VENV: Final = Path(__file__).parents[2] / ".venv-lab"
"""Where ``make lab`` installs tiny-pacs, whose libraries are no dependencies of the project."""

_DCMQRSCP: Final = """
NetworkTCPPort  = {port}
MaxPDUSize      = 16384
MaxAssociations = 16
HostTable BEGIN
node = (MAMMOCLIP, 127.0.0.1, {node_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE {folder} RW (200, 1024mb) ANY
AETable END
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """An archive that runs.

    Attributes
    ----------
    version : as it says itself
    url : of DICOMweb; empty if it has none
    has_reported : whether it has had its say on storage commitment, where a double reports
    """

    version: str
    port: int
    url: str = ""
    has_reported: Callable[[], bool] = lambda: True


class MissingPeerError(Exception):
    """A program of the lab is not installed; the message says how to install it."""


@contextmanager
def orthanc(folder: Path, node_port: int) -> Iterator[Peer]:
    """Run Orthanc, which reports on storage commitment to the node's port."""
    archive = Orthanc(folder, node_port=node_port).start()
    try:
        version = str(archive.get("/system")["Version"])
        yield Peer(version, archive.dicom_port, archive.dicomweb_url)
    finally:
        archive.kill()


@contextmanager
def dcmqrscp(folder: Path, node_port: int) -> Iterator[Peer]:
    """Run dcmqrscp, which has neither storage commitment nor DICOMweb."""
    program, port = _program("dcmqrscp"), free_port()
    (folder / "db").mkdir()
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(_DCMQRSCP.format(port=port, folder=folder / "db", node_port=node_port))
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    version = said.stdout.split("dcmqrscp v", 1)[1].split()[0]
    service = Service("dcmqrscp", [program, "-c", str(configuration)], folder / "log").start()
    with _stopped(service):
        _wait_for_port(port)
        yield Peer(version, port)


@contextmanager
def tiny_pacs(folder: Path, node_port: int) -> Iterator[Peer]:
    """Run tiny-pacs with its DICOMweb; it reports on storage commitment to the node's port."""
    program, port, web = VENV / "bin" / "tiny-pacs", free_port(), free_port()
    if not program.exists():
        raise MissingPeerError(f"{program} is not there: 'make lab' installs it")
    node = {"aet": "MAMMOCLIP", "address": "127.0.0.1", "port": node_port}
    configuration = {
        "ae": {"ae_title": ["ARCHIVE"], "port": port, "dump_ds": False},
        "components": {
            "Database": {"on": True},
            "Devices": {"on": True, "devices": {"MAMMOCLIP": node}, "auto_add": False},
            "PACS": {"on": True},
            "InMemoryStorage": {"on": True},
            "HttpServer": {"on": True, "port": web},
            "DICOMWeb": {"on": True},
        },
    }
    file = folder / "tiny-pacs.json"
    file.write_text(json.dumps(configuration))
    said = subprocess.run(
        [
            VENV / "bin" / "python",
            "-c",
            "import importlib.metadata as m; "
            "print(m.version('tiny_pacs'), m.version('tiny_pacs_dicomweb'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    core, dicomweb = said.stdout.split()
    command = [str(program), "run", "-c", str(file)]
    service = Service("tiny-pacs", command, folder / "log", {"PYTHONPATH": ""}).start()
    with _stopped(service):
        _wait_for_port(port)
        _wait_for_port(web)
        yield Peer(f"{core}, DICOMweb {dicomweb}", port, f"http://127.0.0.1:{web}/dicomweb")


@contextmanager
def _stopped(service: Service) -> Iterator[None]:
    try:
        yield
    finally:
        service.kill()


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingPeerError(
            f"{name} is not installed: 'make test' as root installs it on Debian"
        )
    return path


def _wait_for_port(port: int) -> None:
    def is_open() -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    wait_for(is_open, seconds=60, what=f"something listens on {port}")
