"""Several workers with a simulated model, on this machine, as hosts would share the work."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.mammograms import StudyToSend
from deploy.demo.system import running_system
from dicom_node.settings.reading import load_settings
from parts.sample_studies import send

SENDING_ATTEMPTS = 5
"""While so many processes load at once, an answer may come too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersOfSite:
    """A site that runs.

    Attributes
    ----------
    send : takes a study to its node
    check : raises if a process has ended
    services : number of the process of each part beside the workers, by its name
    workers : numbers of the workers' processes
    """

    send: Callable[[StudyToSend], None]
    check: Callable[[], None]
    ledger_url: str
    services: Mapping[str, int]
    workers: Sequence[int]


@contextmanager
def workers_here(work: Path, shares: Sequence[int]) -> Iterator[WorkersOfSite]:
    """Run a site on this machine, with a worker for each share of processes."""
    with running_system(work, worker=worker_command("host0", shares[0])) as system:
        names = ["worker"]
        environment = {**os.environ, "MAMMOCLIP_CONFIG": str(work / "mammoclip.toml")}
        for number, share in enumerate(shares[1:], start=1):
            names.append(f"worker-{number}")
            system.children.start(names[-1], worker_command(f"host{number}", share), environment)
        yield WorkersOfSite(
            send=lambda study: send(study, system.node_port, attempts=SENDING_ATTEMPTS),
            check=system.children.check,
            ledger_url=load_settings(work / "mammoclip.toml").ledger_url,
            services={name: system.children.pid(name) for name in ("broker", "archive", "node")},
            workers=[system.children.pid(name) for name in names],
        )


def worker_command(name: str, processes: int) -> list[str]:
    """Return the command of a worker with so many processes."""
    script = Path(__file__).with_name("simulated_worker.py")
    host = f"{name}@{os.uname().nodename}"
    command = [sys.executable, str(script), "worker", "--hostname", host]
    return [*command, "--concurrency", str(processes)]
