"""When a worker counts as deaf: idle for long, while messages lie in its queues."""

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from dicom_node.errors import BrokerDownError
from worker.processes.watchdog import Watchdog


@dataclass
class Scene:
    """A worker of which a test says what it does."""

    now: float = 0.0
    messages: int = 1
    taken: int = 0
    is_busy: bool = False
    broker_answers: bool = True
    ended: int = 0
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(
            seconds=120,
            waiting=self._waiting,
            taken=lambda: self.taken,
            is_busy=lambda: self.is_busy,
            end=self._end,
            clock=lambda: self.now,
        )

    def wait(self, seconds: float = 600) -> None:
        """Let time pass, in which the watchdog looks again and again."""
        until = self.now + seconds
        while self.now < until and not self.ended:
            self.now += 15
            self.watchdog.look()

    def _waiting(self) -> int:
        if not self.broker_answers:
            raise BrokerDownError("the broker does not answer")
        return self.messages

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_idle_worker_that_takes_no_waiting_message_is_ended_loudly(scene: Scene) -> None:
    with capture_logs() as lines:
        scene.wait()

    assert scene.ended == 1
    assert [(line["event"], line["log_level"]) for line in lines] == [("worker_deaf", "critical")]
    assert scene.now <= 120 + 4 * 15


def test_worker_is_given_its_time_from_the_moment_that_it_is_idle(scene: Scene) -> None:
    scene.is_busy = True
    scene.wait(3600)
    scene.is_busy = False
    scene.wait(100)

    assert not scene.ended


def test_worker_without_work_is_left_alone(scene: Scene) -> None:
    scene.messages = 0
    scene.wait(100_000)

    assert not scene.ended


def test_worker_in_a_long_analysis_is_left_alone(scene: Scene) -> None:
    scene.is_busy = True
    scene.wait(100_000)

    assert not scene.ended


def test_worker_without_a_broker_is_left_alone_and_has_its_time_afterwards(scene: Scene) -> None:
    scene.broker_answers = False
    scene.wait(100_000)
    scene.broker_answers = True
    scene.wait(100)

    assert not scene.ended


def test_worker_that_takes_a_message_now_and_then_is_left_alone(scene: Scene) -> None:
    for _ in range(100):
        scene.wait(90)
        scene.taken += 1

    assert not scene.ended


def test_queue_that_others_empty_now_and_then_says_nothing(scene: Scene) -> None:
    for _ in range(100):
        scene.messages = 1
        scene.wait(90)
        scene.messages = 0
        scene.wait(15)

    assert not scene.ended
