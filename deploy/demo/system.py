"""The whole system on loopback for one run: broker, archive, node and worker."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from kombu import Connection
from kombu.exceptions import KombuError

from deploy.archive import HOST, archive_command
from deploy.broker import broker_command
from deploy.demo.children import Children, answers, free_ports
from deploy.demo.errors import DemonstrationError
from deploy.demo.exchange import CALLING_AE_TITLE
from deploy.demo.ledger import LedgerCommands
from deploy.settings_file import Site, settings_text

BROKER_VARIABLE: Final = "MAMMOCLIP_DEMO_BROKER_URL"
"""URL of an existing broker to use instead of one of our own."""

_OWN_PREFIX: Final = "MAMMOCLIP_"
_START_SECONDS: Final = 180.0
_WORKER: Final = (
    *(sys.executable, "-m", "celery", "-A", "worker", "worker"),
    *("--loglevel", "INFO"),
)
_FREE_BYTES: Final = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSystem:
    """A system that answers."""

    node_port: int
    archive_port: int
    ledger: LedgerCommands
    children: Children


@contextmanager
def running_system(
    folder: Path, *, worker: Sequence[str] = _WORKER, log_format: str = "console"
) -> Iterator[RunningSystem]:
    """Start everything in a folder, wait until it answers, and stop it after the block.

    Parameters
    ----------
    worker : the command that starts the workers
    log_format : of node and workers, ``console`` or ``json``

    Raises
    ------
    DemonstrationError
        A process ended or did not answer in time.
    """
    node_port, archive_port, http_port, broker_port = free_ports(4)
    broker_url = os.environ.get(BROKER_VARIABLE)
    config = folder / "mammoclip.toml"
    site = Site(
        spool=folder / "spool",
        listen_on=HOST,
        port=node_port,
        broker_url=broker_url or f"redis://{HOST}:{broker_port}/0",
        archive_port=archive_port,
        idle_seconds=5,
        grace_seconds=1,
        minimum_free_bytes=_FREE_BYTES,
        secondary_capture_senders=(CALLING_AE_TITLE,),
    )
    config.write_text(settings_text(site), encoding="utf-8")
    environment = {**_environment(config), "MAMMOCLIP_LOG_FORMAT": log_format}
    with Children(folder) as children:
        if broker_url is None:
            children.start("broker", broker_command(folder / "broker", broker_port), environment)
        archive = archive_command(
            folder / "archive",
            dicom_port=archive_port,
            http_port=http_port,
            node_port=node_port,
            peers=(CALLING_AE_TITLE,),
        )
        children.start("archive", archive, environment, may_be_killed=True)
        _await_broker(children, site.broker_url, is_ours=broker_url is None)
        node = [sys.executable, "-m", "dicom_node.commands.node", "serve"]
        children.start("node", node, environment)
        children.start("worker", worker, environment)
        for name, port in (("archive", archive_port), ("node", node_port)):
            children.wait_until(
                partial(answers, port),
                what=f"the {name} answers",
                deadline_seconds=_START_SECONDS,
            )
        yield RunningSystem(
            node_port=node_port,
            archive_port=archive_port,
            ledger=LedgerCommands(environment),
            children=children,
        )


def _environment(config: Path) -> dict[str, str]:
    """Return this process's environment without the site's own settings."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIX)
    }
    return {**inherited, "MAMMOCLIP_CONFIG": str(config), "PYTHONUNBUFFERED": "1"}


def _await_broker(children: Children, url: str, *, is_ours: bool) -> None:
    def is_up() -> bool:
        try:
            with Connection(url, connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=1, timeout=2)
        except (OSError, KombuError):
            return False
        return True

    try:
        children.wait_until(is_up, what="the broker answers", deadline_seconds=20)
    except DemonstrationError as error:
        if is_ours:
            raise
        raise DemonstrationError(
            f"no broker answers at the URL of {BROKER_VARIABLE}: start it, or unset the variable"
        ) from error
