"""Workers on hosts of their own, each in a network namespace: all that they share is the network.

Beside them a host each for PostgreSQL, the broker, an S3 server, the node, and the archive with
the sender. Needs the rights of root, and the programs that the tests need.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from parts.sample_studies import send
from parts.workers_here import SENDING_ATTEMPTS, WorkersOfSite, worker_command

_ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(_ROOT), str(_ROOT / "tests"), str(_ROOT / "tests/chaos")]

import pytest  # noqa: E402
from host_network import HostNetwork  # noqa: E402
from postgresql import stopped_postgresql  # noqa: E402
from region import (  # noqa: E402
    PORT,
    SERVICES,
    WORKERS,
    OpenRedis,
    Region,
    answer_the_network,
)

from mammoclip_core.bundles.demonstration import demonstration_bundle  # noqa: E402

_CONNECTIONS = 200


class _Workers(Region):
    """One node, and worker hosts whose model is simulated, with the times of the defaults."""

    times: ClassVar = {
        "idle_seconds": 5,
        "heartbeat_seconds": 10,
        "lease_seconds": 40,
        "redispatch_seconds": 30,
    }

    def __init__(self, folder: Path, shares: Mapping[str, int], **parts: Any) -> None:
        self._shares = shares
        super().__init__(folder, demonstration_bundle(), **parts)

    def worker_command(self, name: str) -> list[str]:
        return worker_command(name, self._shares[name])

    def require_alive(self) -> None:
        for service in (self.ledger, self.broker, self.store, self.archive):
            service.require_alive()
        super().require_alive()


@contextmanager
def workers_apart(work: Path, shares: Sequence[int]) -> Iterator[WorkersOfSite]:
    """Run a site with a worker host for each share of processes."""
    workers = WORKERS[: len(shares)]
    if len(workers) < len(shares):
        raise SystemExit(f"there are {len(WORKERS)} worker hosts at most")
    try:
        with (
            HostNetwork((*SERVICES, "a", *workers)) as network,
            stopped_postgresql() as ledger,
        ):
            answer_the_network(ledger)
            ledger.command += ["-c", f"max_connections={_CONNECTIONS}"]
            of_each = dict(zip(workers, shares, strict=True))
            region = _Workers(work, of_each, network=network, ledger=ledger, broker=OpenRedis(work))
            with region.running():
                yield _site(region, workers)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        raise SystemExit(str(error)) from error


def _site(region: Region, workers: Sequence[str]) -> WorkersOfSite:
    services = {
        "ledger": region.ledger,
        "broker": region.broker,
        "store": region.store,
        "archive": region.archive,
        "node": region.processes["a"],
    }
    address = region.network.addresses["a"]
    return WorkersOfSite(
        send=lambda study: send(study, PORT, host=address, attempts=SENDING_ATTEMPTS),
        check=region.require_alive,
        ledger_url=region.url,
        services={name: service.process.pid for name, service in services.items()},
        workers=[region.processes[name].process.pid for name in workers],
    )
