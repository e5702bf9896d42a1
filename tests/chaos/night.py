"""A site in a night without anybody: studies that come, and everything that can befall a site."""

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from plain_sender import plain_sender
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from services import BIN, Service, Site
from simulated.simulated_model import DEADLY
from unit.dicom_node.node_factory import FOR_PRESENTATION, encoded
from unit.worker.worker_factory import shown_mammogram

HERE = Path(__file__).parent
CLOSED = "/sys"
"""A folder in which nobody can create anything, root included."""

ONE_OBJECT = '\nprofile = "one"\n[profiles.one]\nobjects = ["measurement_report"]\n'


def study(number: int, kind: str) -> Dataset:
    """Return the one image of a study: ``sound``, ``unreadable``, or ``deadly`` to a process."""
    uid = f"1.2.826.0.1.3680043.8.498.9.{number}"
    dataset = shown_mammogram(
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}{DEADLY}" if kind == "deadly" else f"{uid}.1.1",
        PatientID=f"NIGHT-{number}",
    )
    if kind == "unreadable":
        dataset.PixelData = dataset.PixelData[:100]
    return dataset


class Sender(threading.Thread):
    """A scanner that sends one study after the other, each until the node has answered success."""

    def __init__(
        self, port: int, kinds: list[str], pause: float, *, first: int = 0, priority: str = ""
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self._port, self._kinds, self._pause = port, kinds, pause
        self._first, self._priority = first, priority
        self.sent: dict[str, str] = {}
        self.is_over = threading.Event()

    def run(self) -> None:
        for number, kind in enumerate(self._kinds, self._first):
            dataset = study(number, kind)
            dataset.RequestedProcedurePriority = self._priority
            while not self._is_taken(dataset) and not self.is_over.is_set():
                time.sleep(0.3)
            if self.is_over.is_set():
                return
            self.sent[str(dataset.StudyInstanceUID)] = kind
            time.sleep(self._pause)

    def _is_taken(self, dataset: Dataset) -> bool:
        try:
            with plain_sender(self._port, FOR_PRESENTATION, ExplicitVRLittleEndian) as sender:
                return sender.store(encoded(dataset), dataset.SOPInstanceUID.encode()) == 0x0000
        except OSError:
            return False  # no association, or it was lost: a scanner tries again


class Night(Site):
    """A site of separate workers for analyses and deliveries, on a small disk where that works."""

    def __init__(self, folder: Path, bundle: Path, *, maximum_attempts: int) -> None:
        self.spool = folder / "spool"
        self.has_own_disk = _mount(self.spool)
        super().__init__(folder, bundle, idle_seconds=1, maximum_attempts=maximum_attempts)
        text = self.config.read_text() + ONE_OBJECT
        text = text.replace("minimum_free_bytes = 100000000", "minimum_free_bytes = 1000000")
        self.config.write_text(text)
        path = os.pathsep.join(map(str, (HERE / "simulated", HERE.parent, HERE.parents[1])))
        shared = {"PYTHONPATH": path, "NIGHT_FOLDER": str(folder), "OMP_NUM_THREADS": "1"}
        self.environment |= shared
        self.node = self._service("node", [str(BIN / "mammoclip-node"), "serve"])
        celery = [str(BIN / "celery"), "-A", "worker", "worker"]
        self.worker = self._service("worker", [*celery, "-Q", "gpu", "-n", "gpu@%h"])
        self.worker.environment = {**self.environment, "NIGHT_MODEL": "1"}
        deliver = [*celery, "-Q", "deliver", "-n", "deliver@%h", "--concurrency", "2"]
        self.delivery = self._service("delivery", deliver)
        self._is_over, self._hands_on = threading.Event(), threading.Lock()
        self._manager = threading.Thread(target=self._start_what_ended, daemon=True)
        self.started_again: list[str] = []

    def start(self) -> None:
        for service in (self.archive, self.broker):
            service.start()
        self.start_node()
        for service in (self.worker, self.delivery):
            service.start()
        self._manager.start()

    def stop(self) -> None:
        self._is_over.set()
        if self._manager.is_alive():
            self._manager.join()
        self.delivery.stop()
        super().stop()
        if self.has_own_disk:
            subprocess.run(["umount", "--lazy", str(self.spool)], check=False)

    def _start_what_ended(self) -> None:
        """Start a process that has ended by itself, as every service manager does."""
        while not self._is_over.wait(1):
            with self._hands_on:
                for service in (self.node, self.worker, self.delivery):
                    if service.process is not None and service.process.poll() is not None:
                        self.started_again.append(service.name)
                        service.start()

    # What may befall it. Each leaves the site as it found it, and ends nothing for good.

    def kill(self, service: Service) -> None:
        with self._hands_on:
            service.kill()
            if service is self.node:
                self.start_node()
            else:
                service.start()

    def kill_child(self, service: Service) -> None:
        """Kill one child of a service: a receiving process, a reader of headers, a pool process."""
        assert service.process is not None
        children = Path(f"/proc/{service.process.pid}/task").glob("*/children")
        for pid in [int(one) for file in children for one in file.read_text().split()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wipe_broker(self) -> None:
        self.broker.kill()
        self.broker.lose_data()
        self.broker.start()

    def poison_queue(self) -> None:
        with redis.Redis(port=self.broker.port) as client:
            client.lpush("gpu", "garbage")
            client.lpush("deliver", '{"body": null}')

    @contextmanager
    def ledger_locked(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.spool / "ledger.sqlite", timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.rollback()

    @contextmanager
    def away(self, service: Service) -> Iterator[None]:
        service.kill()
        yield
        service.start()

    @contextmanager
    def silent(self, service: Service) -> Iterator[None]:
        """Let a service take connections and answer nothing, as behind a firewall that drops."""
        assert service.process is not None
        os.killpg(service.process.pid, signal.SIGSTOP)
        yield
        os.killpg(service.process.pid, signal.SIGCONT)

    @contextmanager
    def closed(self, folder: str) -> Iterator[None]:
        """Let nobody write into a folder of the spool, root included."""
        place = self.spool / folder
        if self.has_own_disk:
            subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
            yield
            subprocess.run(["umount", "--lazy", str(place)], check=True)
            return
        kept = self.spool / f"{folder}-kept"
        place.rename(kept)
        place.symlink_to(CLOSED)
        yield
        place.unlink()
        kept.rename(place)

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        filling = self.spool / "filling"
        with filling.open("wb") as stream, suppress(OSError):
            while True:
                stream.write(bytes(65_536))
                stream.flush()
        yield
        filling.unlink()

    @contextmanager
    def clock_back(self) -> Iterator[None]:
        flag = self.folder / "clock-is-back"
        flag.touch()
        yield
        flag.unlink()

    def lasting(self, seconds: float, fault: Callable[[], Any]) -> Callable[[], None]:
        """Return a fault that lasts some seconds."""

        def act() -> None:
            with fault():
                time.sleep(seconds)

        return act


def _mount(folder: Path) -> bool:
    """Give a folder a disk of its own that can be filled, where this account may do that."""
    folder.mkdir(mode=0o700)
    mount = shutil.which("mount")
    if mount is None:
        return False
    options = ["-t", "tmpfs", "-o", "size=96m,mode=0700", "night", str(folder)]
    return subprocess.run([mount, *options], capture_output=True, check=False).returncode == 0
