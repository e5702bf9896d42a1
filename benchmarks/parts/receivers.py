"""The programs that receive side by side: the node, its listener alone, Orthanc and storescp."""

import json
import os
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.archive import archive_command, orthanc_program
from deploy.broker import broker_command
from deploy.demo.children import Children, answers, free_ports
from deploy.settings_file import Site, settings_text

NODE, LISTENER = "whole node", "listener alone"
ORTHANC, ORTHANC_DEFAULT = "Orthanc, TCP_NODELAY", "Orthanc as it comes"
STORESCP = "storescp (flushes nothing)"
OURS = (NODE, LISTENER)


@dataclass(frozen=True)
class Receiver:
    """A program that receives on loopback.

    Attributes
    ----------
    child : name of its process
    kept : counts the objects that it has kept
    """

    name: str
    child: str
    port: int
    kept: Callable[[], int]


def start_receivers(children: Children, scratch: Path, storescp: str) -> list[Receiver]:
    """Start the node, its listener alone, Orthanc twice if it is installed, and storescp."""
    quick = {**os.environ, "TCP_NODELAY": "1"}
    plain = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    receivers = [
        _node(children, scratch / "node", plain),
        _listener(children, scratch / "listener", plain),
    ]
    if orthanc_program() is not None:
        receivers.append(_orthanc(children, scratch / "orthanc", ORTHANC, quick))
        receivers.append(_orthanc(children, scratch / "orthanc-default", ORTHANC_DEFAULT, plain))
    receivers.append(_storescp(children, scratch / "storescp", storescp, quick))
    for receiver in receivers:
        children.wait_until(
            partial(answers, receiver.port), what=f"{receiver.name} answers", deadline_seconds=60
        )
    return receivers


def _node(children: Children, folder: Path, environment: dict[str, str]) -> Receiver:
    port, broker, archive = free_ports(3)
    folder.mkdir()
    children.start("broker", broker_command(folder / "broker", broker), environment)
    site = Site(
        spool=folder / "spool",
        listen_on="127.0.0.1",
        port=port,
        broker_url=f"redis://127.0.0.1:{broker}/0",
        archive_port=archive,
        idle_seconds=600,
        grace_seconds=600,
    )
    config = folder / "mammoclip.toml"
    config.write_text(settings_text(site), encoding="utf-8")
    command = [sys.executable, "-m", "dicom_node.commands.node", "serve"]
    children.start("node", command, {**environment, "MAMMOCLIP_CONFIG": str(config)})
    return Receiver(NODE, "node", port, partial(_files_in, site.spool, "incoming", "studies"))


def _listener(children: Children, folder: Path, environment: dict[str, str]) -> Receiver:
    (port,) = free_ports(1)
    folder.mkdir()
    program = str(Path(__file__).with_name("listener.py"))
    children.start("listener", [sys.executable, program, str(port), str(folder)], environment)
    return Receiver(LISTENER, "listener", port, partial(_files_in, folder, "incoming"))


def _orthanc(children: Children, folder: Path, name: str, environment: dict[str, str]) -> Receiver:
    dicom, http = free_ports(2)
    folder.mkdir()
    command = archive_command(folder, dicom_port=dicom, http_port=http, node_port=1, peers=())
    children.start(folder.name, command, environment, may_be_killed=True)
    return Receiver(name, folder.name, dicom, partial(_instances_of_orthanc, http))


def _storescp(
    children: Children, folder: Path, program: str, environment: dict[str, str]
) -> Receiver:
    (port,) = free_ports(1)
    folder.mkdir()
    command = [program, "--fork", "+xa", "-od", str(folder), "-pdu", "131072", str(port)]
    children.start("storescp", command, environment)
    return Receiver(STORESCP, "storescp", port, partial(_files_in, folder.parent, folder.name))


def _files_in(root: Path, *names: str) -> int:
    # The registrar moves files meanwhile: each is in one of the folders at any time.
    return sum(1 for name in names for path in (root / name).rglob("*") if path.is_file())


def _instances_of_orthanc(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/statistics", timeout=30) as answer:
        return int(json.load(answer)["CountInstances"])


def peak_memory_mb(pid: int) -> float:
    """Return the peak resident memory of a process and its children, in MB."""
    total = 0.0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) / 1000
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = {child for task in tasks for child in (task / "children").read_text().split()}
    except OSError:
        return total
    return total + sum(peak_memory_mb(int(child)) for child in children)
