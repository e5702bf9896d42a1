"""A site in a night without anybody, and what can befall it."""

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
from typing import Any, Final

import redis
from black_hole import BlackHole
from services import BIN, Service, Site, wait_for

HERE = Path(__file__).parent
CLOSED = "/sys"
"""A folder in which nobody can create anything, root included."""

ONE_OBJECT = '\nprofile = "one"\n[profiles.one]\nobjects = ["measurement_report"]\n'

ACCELERATION: Final = 60
"""What the waits between deliveries are divided by, so that a minute is an hour to them.

The settings as shipped wait 10 s after the first failure and twice as long after each further one,
up to 900 s, and give up after a week: the same number of attempts falls into an hour without the
archive here as there, and a night is longer than all of their waits.
"""

WATCHDOG_SECONDS: Final = 10
"""After so long an idle worker that takes nothing ends itself."""


class Night(Site):
    """A site of separate workers for analyses and deliveries, on a small disk where that works.

    Parameters
    ----------
    has_ways : bool
        Whether broker and archive are reached over ways on which everything may vanish.
    is_accelerated : bool
        Whether the waits of deliveries are those as shipped, divided by ACCELERATION.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        *,
        maximum_attempts: int,
        has_ways: bool = False,
        is_accelerated: bool = False,
    ) -> None:
        self.spool = folder / "spool"
        self.has_own_disk = _mount(self.spool)
        super().__init__(folder, bundle, idle_seconds=1, maximum_attempts=maximum_attempts)
        self.ways: dict[str, BlackHole] = {}
        self._write_settings(has_ways=has_ways, is_accelerated=is_accelerated)
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
        self._groups: set[int] = set()
        self.started_again: list[str] = []

    def _write_settings(self, *, has_ways: bool, is_accelerated: bool) -> None:
        changes = {"minimum_free_bytes = 100000000": "minimum_free_bytes = 1000000"}
        changes["[work]"] = f"[work]\nwatchdog_seconds = {WATCHDOG_SECONDS}"
        if has_ways:
            for name, port in (("broker", self.broker.port), ("archive", self.archive.dicom_port)):
                self.ways[name] = BlackHole(port)
            changes[self.broker.url] = f"redis://127.0.0.1:{self.ways['broker'].port}/0"
            changes[f"port = {self.archive.dicom_port}"] = (
                f"port = {self.ways['archive'].port}\ntimeout_seconds = 5\nexchange_seconds = 10"
            )
        if is_accelerated:
            changes["first_seconds = 1\n"] = f"first_seconds = {10 / ACCELERATION:.3f}\n"
            changes["longest_seconds = 4\n"] = (
                f"longest_seconds = {900 / ACCELERATION:.3f}\n"
                f"expire_seconds = {7 * 86400 / ACCELERATION:.3f}\n"
            )
        written = self.config.read_text()
        for old, new in changes.items():
            assert written.count(old) == 1, f"the settings hold {old!r} once"
            written = written.replace(old, new)
        self.config.write_text(written + ONE_OBJECT)

    def start(self) -> None:
        for way in self.ways.values():
            way.__enter__()
        for service in (self.archive, self.broker):
            service.start()
        self.start_node()
        for service in self.managed[1:]:
            service.start()
        self._note_groups()
        self._manager.start()

    @property
    def managed(self) -> tuple[Service, Service, Service]:
        """The services that are started again when they end."""
        return self.node, self.worker, self.delivery

    def stop(self) -> None:
        self._is_over.set()
        if self._manager.is_alive():
            self._manager.join()
        self.delivery.stop()
        super().stop()
        for group in self._groups:  # what outlived the first process of its service
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for way in self.ways.values():
            way.close()
        if self.has_own_disk:
            subprocess.run(["umount", "--lazy", str(self.spool)], check=False)

    def _note_groups(self) -> None:
        self._groups |= {one.process.pid for one in self.managed if one.process is not None}

    def _start_what_ended(self) -> None:
        """Start a process that has ended by itself, as every service manager does."""
        while not self._is_over.wait(1):
            with self._hands_on:
                for service in self.managed:
                    if service.process is not None and service.process.poll() is not None:
                        self.started_again.append(service.name)
                        service.start()
                self._note_groups()

    # What may befall it. Each leaves the site as it found it, and ends nothing for good.

    def kill(self, service: Service) -> None:
        with self._hands_on:
            service.kill()
            if service is self.node:
                self.start_node()
            else:
                service.start()
            self._note_groups()

    def kill_first_process(self, service: Service) -> None:
        """Kill the first process of a service alone; its children live on if they can."""
        assert service.process is not None
        os.kill(service.process.pid, signal.SIGKILL)
        self.wait_until_started_again(service, lambda: None)

    def kill_each_process(self) -> None:
        """Kill every process below the first ones, one after the other: children of children, too.

        Receiving processes, readers of headers, processes that analyse, decode or send.
        """
        for service in self.managed:
            assert service.process is not None
            for pid in processes_below(service.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.5)  # the night goes on a while between two of them

    def kill_children(self, service: Service) -> None:
        """Kill all children of a service at once."""
        assert service.process is not None
        for pid in children_of(service.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_until_started_again(self, service: Service, meanwhile: Callable[[], None]) -> None:
        """Wait until the service manager has found that a service ended."""
        before = self.started_again.count(service.name)
        meanwhile()
        wait_for(
            lambda: self.started_again.count(service.name) > before,
            seconds=180,
            what=f"{service.name} was started again",
        )

    def restart_broker(self) -> None:
        """Kill the broker, whose messages are on its disk."""
        self.broker.kill()
        self.broker.start()

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
        # Unbuffered: what a buffer still holds would fail once more when it is closed.
        with filling.open("wb", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(bytes(65_536))
        yield
        filling.unlink()

    @contextmanager
    def clock_back(self) -> Iterator[None]:
        flag = self.folder / "clock-is-back"
        flag.touch()
        yield
        flag.unlink()

    @contextmanager
    def vanishing(self, name: str) -> Iterator[None]:
        """Let everything on the way to a service vanish; what was connected stays dead after."""
        way = self.ways[name]
        way.swallow(new=True)
        yield
        way.swallows_new = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the workers, and require that none of them counts as deaf meanwhile."""
        done = self.run("pause", "worker", "--reason", "a night without anybody")
        assert done.returncode == 0, done.stderr
        assert self.worker.process is not None
        before = (self.worker.process.pid, self.worker.output().count("worker_deaf"))
        yield
        after = (self.worker.process.pid, self.worker.output().count("worker_deaf"))
        assert before == after, "a paused worker is not ended, however long the pause is"
        done = self.run("resume", "worker")
        assert done.returncode == 0, done.stderr

    def paused_then_deaf(self) -> None:
        """Pause the workers for longer than the watchdog waits, with a broker lost and found.

        Once they are resumed they are watched again.
        """
        with self.paused():
            self.restart_broker()
            time.sleep(2 * WATCHDOG_SECONDS)
        self.deaf()

    def deaf(self) -> None:
        """Let the analysing worker ask for no message any more, until its watchdog has ended it."""
        flag = self.folder / "is-deaf"

        def stop_listening() -> None:
            flag.touch()
            with redis.Redis(port=self.broker.port) as client:
                # Something waits in any case; the request under way may still take one of them.
                client.lpush("gpu", *["garbage"] * 3)

        self.wait_until_started_again(self.worker, stop_listening)
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
    options = ["-t", "tmpfs", "-o", "size=160m,mode=0700", "night", str(folder)]
    return subprocess.run([mount, *options], capture_output=True, check=False).returncode == 0


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that live."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def processes_below(pid: int) -> list[int]:
    """Return all processes below a process, each after the one that started it."""
    below = []
    for child in children_of(pid):
        below += [child, *processes_below(child)]
    return below
