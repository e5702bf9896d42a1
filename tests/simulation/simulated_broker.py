"""The broker of a schedule: at least once, in any order; what it holds may be lost or doubled."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from schedule import Process, Schedule

from dicom_node.errors import BrokerDownError
from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE


@dataclass(frozen=True)
class Message:
    task: str
    queue: str
    work_id: int


class SimulatedBroker:
    """Stands for `Broker` in the node, and for Celery's consumer in a worker.

    Parameters
    ----------
    kinds : of faults that may happen; by default any
    """

    def __init__(self, schedule: Schedule, kinds: Collection[str] = ()) -> None:
        self._schedule = schedule
        self._waiting: list[Message] = []
        self._taken: dict[Process, Message] = {}
        self.is_down_until = 0.0
        # Some brokers lose or double one message in three, until they have done so often enough.
        harm = schedule.random.choice(("", "", "messages lost", "messages doubled"))
        self._harm = next((one for one in kinds if one.startswith("messages")), harm)
        self._harm_left = 4

    @property
    def messages(self) -> tuple[Message, ...]:
        """Return what waits, and what workers have taken."""
        return (*self._waiting, *self._taken.values())

    def begin_with(self, messages: Sequence[Message]) -> None:
        """Begin a schedule with messages that wait."""
        self._waiting = list(messages)

    def speak_of(self, ledger: str) -> None:
        """Every message here is about the one ledger."""

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        for work_id in ids:
            self._schedule.step(f"send {task} {work_id}")
            self._require_up()
            self._waiting += [Message(task, queue, work_id)] * self._copies()

    def waiting(self, queue: str) -> int:
        self._schedule.step(f"count {queue}")
        self._require_up()
        return sum(message.queue == queue for message in self._waiting)

    def empty(self, queue: str) -> int:
        count = self.waiting(queue)
        self._waiting = [message for message in self._waiting if message.queue != queue]
        return count

    def take(self, worker: Process) -> Message:
        """Wait for a message; the worker has it until it acknowledges it or is gone."""
        schedule = self._schedule
        schedule.wait("take a message", self._has_any, None)
        if not self._has_any():
            return self.take(worker)
        message = schedule.random.choice(self._waiting)
        self._waiting.remove(message)
        self._taken[worker] = message
        return message

    def acknowledge(self, worker: Process) -> None:
        self._schedule.step("acknowledge")
        self._taken.pop(worker, None)

    def is_at_work(self, worker: Process) -> bool:
        """Return whether a worker has a message that it has not acknowledged."""
        return worker in self._taken

    def put_back(self, worker: Process) -> None:
        """Take back what a worker has not acknowledged."""
        message = self._taken.pop(worker, None)
        if message is not None:
            self._waiting.append(message)

    def forget(self, worker: Process) -> None:
        """Hold what a worker has not acknowledged for as long as a schedule lasts."""
        self._taken.pop(worker, None)

    def lose_some(self) -> None:
        self._waiting = [one for one in self._waiting if self._schedule.random.random() < 0.5]

    def double_some(self) -> None:
        again = [one for one in self._waiting if self._schedule.random.random() < 0.5]
        self._waiting += again
        self._schedule.random.shuffle(self._waiting)

    def go_down(self, seconds: float) -> None:
        self.is_down_until = self._schedule.now + seconds

    def _copies(self) -> int:
        if not self._harm or not self._harm_left or self._schedule.random.random() > 0.3:
            return 1
        self._harm_left -= 1
        return 0 if self._harm == "messages lost" else 2

    def _has_any(self) -> bool:
        return bool(self._waiting) and self._schedule.now >= self.is_down_until

    def _require_up(self) -> None:
        if self._schedule.now < self.is_down_until:
            raise BrokerDownError("the broker accepts no messages: simulated")


QUEUES = (GPU_QUEUE, DELIVER_QUEUE)
