"""A whole site under one schedule: scanner, receiving process, node, workers, archives.

The processes run the product's own code; each may be killed between any two of its steps, and is
started again a little later, as by a service manager.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from celery.exceptions import Reject
from legs import Leg
from schedule import Process, Schedule
from simulated_archive import SimulatedArchive
from simulated_broker import SimulatedBroker
from simulated_disk import SimulatedDisk
from simulated_ledger import SimulatedDatabase
from simulated_threads import SimulatedThreads, SimulatedTime, simulated_datetime
from stand_in_work import (
    MANIFEST,
    Headers,
    Image,
    RememberedHeaders,
    Thinking,
    built,
    likeness,
    written,
)

from dicom_node import node_parts, node_process
from dicom_node.receive.coming_object import ComingObject
from dicom_node.receive.listener import SUCCESS, Listener
from dicom_node.receive.upper_layer.association import StoreRequest
from dicom_node.receive.upper_layer.commands import Command, CommandField
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import Limits, OpenAssociations
from dicom_node.studies.broker import ANALYZE_TASK
from worker import tasks
from worker.deliver.lanes import Lanes
from worker.runtime import Runtime
from worker.site_faults import SiteFaults

_SYNTAX = "1.2.840.10008.1.2.1"
_ADDRESS = "10.0.0.5"
_TICK_SECONDS, _LOOK_SECONDS = 15.0, 4.0
"""Times of the node's loops, longer than real ones: looks that find nothing show nothing."""

_LIMITS = Limits(total=3, each_address=3, kept_free=0)
WORKERS = ("worker-1", "worker-2")


def settings_of(root: Path, *, archives: int) -> Settings:
    """Return short times, so that a schedule has few steps in which nothing happens."""
    return Settings(
        spool=root,
        settling={"idle_seconds": 5.0, "grace_seconds": 4.0},
        work={"heartbeat_seconds": 3.0, "lease_seconds": 8.0, "redispatch_seconds": 9.0},
        retry={"first_seconds": 2.0, "longest_seconds": 8.0, "first_probe_seconds": 3.0,
               "longest_probe_seconds": 6.0},
        destinations=[
            {"kind": "dicom", "name": name, "ae_title": name.upper(), "host": "archive",
             "profile": "simulated"}
            for name in ("east", "west")[:archives]
        ],
        profiles={"simulated": {"objects": ["measurement_report", "segmentation"]}},
    )  # fmt: skip


class SimulatedRuntime(Runtime):
    """The product's `Runtime` of one simulated worker process."""

    name = ""

    @property
    def holder(self) -> str:
        return self.name


@dataclass
class Delivered:
    """What the scanner was answered for one image: whether with success."""

    image: Image
    times: int = 0


@dataclass
class Site:
    """Everything of one schedule."""

    schedule: Schedule
    database: SimulatedDatabase
    disk: SimulatedDisk
    settings: Settings
    listener: Listener
    headers: Headers
    broker: SimulatedBroker
    archives: dict[str, SimulatedArchive]
    leg: Leg
    acknowledged: dict[str, list[Image]] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    to_send: int = 0
    worker_faults: int = 0
    _node: Any = None

    @property
    def workers(self) -> Sequence[str]:
        """Return the names of the workers that run."""
        return WORKERS if self.leg.workers else ()

    def start(
        self, studies: Sequence[Sequence[tuple[float, Image]]], *, node_after: float = 0.0
    ) -> None:
        """Start all processes, and a scanner that sends images of studies after some seconds.

        Parameters
        ----------
        node_after : seconds after which the node starts
        """
        for name in ("receiver", *self.workers):
            self.start_process(name)
        self.start_process("node", after=node_after)
        self.to_send = sum(map(len, studies))
        for images in studies:
            scanner = Process("scanner")
            self.schedule.spawn(scanner, "study", lambda images=images: self._scan(images))

    def start_process(self, name: str, *, after: float = 0.0) -> None:
        """Start a process, as its service manager does, or some seconds later."""
        process = self.processes[name] = Process(name)
        if name == "node":
            self.schedule.spawn(process, "main", lambda: self._run_node(after))
        elif name != "receiver":
            self.schedule.spawn(process, "main", lambda: self._work(process))

    def kill(self, name: str, *, back_in: float) -> None:
        """Kill a process; it is started again after some seconds."""
        process = self.processes[name]
        if process.is_gone:
            return
        self.schedule.kill(process)
        self.database.break_connections_of(process)
        if self.schedule.random.random() < 0.5:
            self.broker.put_back(process)
        else:
            self.broker.forget(process)

        def start_again() -> None:
            self.schedule.sleep(back_in)
            self.start_process(name)

        self.schedule.spawn(Process("service manager"), name, start_again)

    def is_quiet(self) -> bool:
        """Return whether everything that was sent came to its end."""
        if self.to_send or any(process.is_gone for process in self.processes.values()):
            return False
        if self.disk.files("incoming"):
            return False
        return bool(self.database.rows(f"SELECT {self.leg.left}")[0][0] == 0)

    def _run_node(self, after: float) -> None:
        if after:
            self.schedule.sleep(after)
        spool = node_parts.open_spool(self.settings)
        with spool.owned():
            node = node_process.Node(self.settings, spool, self.database)
            node._registrar._headers = self.headers  # type: ignore[assignment]
            node._registrar._twins._compare = likeness
            self._node = node
            if self.leg.threads:
                node._threads = [one for one in node._threads if one.name in self.leg.threads]
            node.start()
            self.schedule.wait("for ever", lambda: False, None)

    def _scan(self, images: Sequence[tuple[float, Image]]) -> None:
        """Send images; what was not answered with success is sent again, as scanners do."""
        for seconds, image in images:
            self.schedule.sleep(seconds)
            while not self._send(image):
                self.schedule.sleep(1.0)
            self.to_send -= 1

    def _send(self, image: Image) -> bool:
        receiver, answers = self.processes["receiver"], list[int]()
        if receiver.is_gone:
            return False
        self.schedule.spawn(receiver, "association", lambda: self._receive(image, answers))
        self.schedule.wait("answer", lambda: answers or receiver.is_gone, 30.0)
        return answers == [SUCCESS]

    def _receive(self, image: Image, answers: list[int]) -> None:
        associations = OpenAssociations(self.disk.root / "associations", _LIMITS)
        place = associations.take_place(_ADDRESS)
        try:
            coming = ComingObject(place, _SYNTAX)
            uid = image.sop_instance_uid.encode()
            command = Command(CommandField.C_STORE, 1, True, image.sop_class_uid.encode(), uid)
            status = self.listener._store(
                StoreRequest(command, image.sop_class_uid, _SYNTAX),
                coming.watched([memoryview(image.content)]),
                _ADDRESS,
                SimpleNamespace(calling_ae_title="SCANNER", called_ae_title="NODE"),
                place,
            )
            coming.end()
            if status == SUCCESS:
                self.acknowledged.setdefault(image.study_instance_uid, []).append(image)
                if self._node is not None:
                    self._node._arrived.set()
            self.schedule.step("answer the scanner")
            answers.append(status)
        finally:
            place.close()

    def _work(self, process: Process) -> None:
        """Take messages and do what the tasks do, acknowledging each at its end."""
        process.runtime = self._runtime_of(process)  # type: ignore[attr-defined]
        while True:
            message = self.broker.take(process)
            task = tasks.analyze if message.task == ANALYZE_TASK else tasks.deliver
            try:
                task.run(message.work_id)
            except Reject:
                self.broker.put_back(process)
            else:
                self.broker.acknowledge(process)

    def _runtime_of(self, process: Process) -> Runtime:
        schedule = self.schedule
        runtime = SimulatedRuntime(self.settings, generator=schedule.random)
        runtime.name = f"{process.name}:{schedule.steps}"
        stand_ins = {
            "database": self.database,
            "spool": Spool(self.disk.root),
            "manifest": MANIFEST,
            "engine": Thinking(schedule),
            "decoding": SimpleNamespace(read_image=None),
            "stages": NoDeadlines(),
            "lanes": Lanes(runtime.put_off, clock=lambda: schedule.now),
            "site": SiteFaults(
                look=runtime._look, clock=lambda: schedule.now, sleep=schedule.sleep
            ),
        }
        vars(runtime).update(stand_ins)
        return runtime


class NoDeadlines:
    """Stands for the deadlines of stages, which are in seconds of a real clock."""

    has_passed = False

    @contextmanager
    def held(self, _: Callable[[str], object]) -> Iterator[None]:
        yield

    def enter(self, *_: object) -> None:
        """No deadline."""

    def in_words(self) -> str:
        return ""


class SimulatedAcceptors:
    """Stands for the pool of receiving processes, as far as the node's process sees them."""

    def __init__(self, _settings: Any, spool: Spool, **_: Any) -> None:
        self._open = OpenAssociations(spool.associations, _LIMITS)

    def start(self) -> None:
        """They are processes of the schedule."""

    def latest_objects(self) -> Any:
        return self._open.latest_objects()


@contextmanager
def simulated_modules(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the product's modules use the threads, the clock and the services of one schedule."""
    schedule = site.schedule
    threads, time = SimulatedThreads(schedule), SimulatedTime(schedule)
    for module in ("dicom_node.node_process", "worker.runtime", "worker.deliver.lanes"):
        patch.setattr(f"{module}.threading", threads)
    for module in (
        "node_process",
        "spool.receipt_clock",
        "receive.coming_object",
        "studies.host_clock",
        "studies.retention",
    ):
        patch.setattr(f"dicom_node.{module}.time", time)
    patch.setattr(node_process, "_TICK_SECONDS", _TICK_SECONDS)
    patch.setattr(node_process, "_LOOK_SECONDS", _LOOK_SECONDS)
    clock = simulated_datetime(schedule)
    for module in (
        "dicom_node.studies.ledger.locks",
        "dicom_node.node_parts",
        "dicom_node.receive.registration.registrar",
        "dicom_node.studies.host_clock",
        "worker.analyze.result_identity",
    ):
        patch.setattr(f"{module}.datetime", clock)
    patch.setattr("worker.unfinished.monotonic", time.monotonic)
    patch.setattr("worker.unfinished.sleep", time.sleep)
    patch.setattr(
        "secrets.token_hex", lambda size=32: f"{schedule.random.getrandbits(8 * size):0{2 * size}x}"
    )
    patch.setattr("dicom_node.node_process.AcceptorPool", SimulatedAcceptors)
    patch.setattr("dicom_node.node_process.Broker", lambda **_: site.broker)
    patch.setattr("worker.tasks.runtime", lambda: schedule.current.process.runtime)
    patch.setattr(
        "worker.deliver.delivery.sender_for",
        lambda destination, **_: _Sender(site, destination.name),
    )
    patch.setattr(
        "worker.deliver.probing.probe",
        lambda destination, **_: site.archives[destination.name].probe(),
    )
    patch.setattr("worker.analyze.analysis.StudyFiles", RememberedHeaders)
    patch.setattr("worker.analyze.result_identity.version", lambda _: "1")
    patch.setattr("worker.analyze.kept_results.map_ahead", _one_after_the_other)
    patch.setattr("dicom_node.objects.results.stream_results", built)
    patch.setattr("dicom_node.objects.writing.write_object", written)
    with quiet_logs():
        yield


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Drop the lines of the log: thousands of schedules write many."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


def _one_after_the_other(items: Any, function: Any, **_: Any) -> Iterator[Any]:
    return map(function, items)


class _Sender:
    """What a worker sends with to one archive."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name

    def send(self, objects: Any) -> Any:
        current = self._site.schedule.current
        assert current is not None
        holder = current.process.runtime.holder  # type: ignore[attr-defined]
        return self._site.archives[self._name].send(objects, holder)
