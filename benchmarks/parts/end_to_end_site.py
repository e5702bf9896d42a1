"""A whole site on this machine for a benchmark, with the processor time of its processes."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.mammograms import StudyToSend
from deploy.demo.system import RunningSystem, running_system
from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from parts.phases import Phases, count_delivered, delivered
from parts.processes import processor_seconds
from parts.sample_studies import sample_studies

PATIENCE_SECONDS = 300.0
PROCESSES = ("broker", "archive", "node", "worker")
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSite:
    """A running site, its ledger, and studies that can be sent to it."""

    system: RunningSystem
    database: Database
    log: Path
    spool: Path
    studies: Sequence[StudyToSend]
    grace_seconds: float

    def processor(self) -> dict[str, float]:
        """Return the seconds that each part has computed so far; this program is the sender."""
        children = self.system.children
        times = {name: processor_seconds(children.pid(name)) for name in PROCESSES}
        return {**times, "sender": time.process_time()}

    def await_delivered(self, count: int, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until so many deliveries have ended well."""
        give_up_at = time.monotonic() + patience
        while (found := count_delivered(self.database)) < count:
            self.system.children.check()
            if time.monotonic() > give_up_at:
                raise SystemExit(f"{found} of {count} studies were delivered in time")
            time.sleep(_LOOK_SECONDS)

    def result_bytes(self) -> int:
        """Return the size of all result objects."""
        return sum(file.stat().st_size for file in (self.spool / "results").rglob("*.dcm"))

    def phases(self) -> list[Phases]:
        """Return the phases of the studies, in the order in which they were sent."""
        found = delivered(self.database, self.log)
        return [found[one.study_instance_uid] for one in self.studies]


@contextmanager
def measured_site(studies: int, worker: Sequence[str]) -> Iterator[MeasuredSite]:
    """Run a site with some copies of the sample study beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        copies = sample_studies(Path(scratch) / "studies", studies)
        work = Path(scratch) / "work"
        work.mkdir()
        with running_system(work, worker=worker, log_format="json") as system:
            settings = load_settings(work / "mammoclip.toml")
            with closing(Database(settings.ledger_url)) as database:
                yield MeasuredSite(
                    system=system,
                    database=database,
                    log=work / "worker.log",
                    spool=settings.spool,
                    studies=copies,
                    grace_seconds=settings.settling.grace_seconds,
                )


def celery_worker(processes: int) -> list[str]:
    """Return the command of a worker with so many processes, for both queues."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker"]
    return [*command, "--concurrency", str(processes)]


def waiting_worker(processes: int) -> list[str]:
    """Return the same with a model that only takes time."""
    script = Path(__file__).with_name("waiting_worker.py")
    return [sys.executable, str(script), "worker", "--concurrency", str(processes)]
