"""Deliveries of one process: one at a time for each destination, none behind another's."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from thread_shortage import ThreadShortage

from worker.deliver import lanes as lanes_module
from worker.deliver.lanes import SLOW_SECONDS, Lanes

WAIT = 20


class Deliveries:
    """Work that goes on until a test lets it end, and a record of what was done and put off."""

    def __init__(self) -> None:
        self.now = 0.0
        self.begun: list[int] = []
        self.changed = threading.Condition()
        self.put_off: list[tuple[int, float]] = []
        self.may_end = {number: threading.Event() for number in range(10)}
        self.lanes = Lanes(self._put_off, clock=lambda: self.now)

    def run(self, number: int) -> None:
        with self.changed:
            self.begun.append(number)
            self.changed.notify_all()
        assert self.may_end[number].wait(WAIT)

    def take(self, name: str, number: int) -> None:
        self.lanes.take(name, number, self.run)

    def await_begun(self, *numbers: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: set(numbers) <= set(self.begun), WAIT)

    def await_put_off(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: number in dict(self.put_off), WAIT)

    def _put_off(self, number: int, seconds: float) -> None:
        with self.changed:
            self.put_off.append((number, seconds))
            self.changed.notify_all()


@contextmanager
def ending(work: Deliveries) -> Iterator[Deliveries]:
    try:
        yield work
    finally:
        for event in work.may_end.values():
            event.set()
        assert not work.lanes.close(WAIT)


@pytest.fixture
def work() -> Iterator[Deliveries]:
    with ending(Deliveries()) as deliveries:
        yield deliveries


def test_silent_destination_holds_up_no_other(work: Deliveries) -> None:
    work.take("silent", 1)
    work.take("healthy", 2)
    work.may_end[2].set()
    work.take("healthy", 3)

    work.await_begun(1, 2, 3)


def test_one_destination_is_sent_one_delivery_at_a_time(work: Deliveries) -> None:
    work.take("archive", 1)
    work.await_begun(1)
    work.take("archive", 2)
    assert work.begun == [1]

    work.may_end[1].set()

    work.await_begun(2)
    assert not work.put_off


def test_eight_wait_in_a_lane_and_the_next_is_put_off(work: Deliveries) -> None:
    for number in range(10):
        work.take("archive", number)

    assert work.put_off == [(9, 1.0)]


def test_deliveries_to_one_destination_are_made_in_their_order(work: Deliveries) -> None:
    for number in (3, 1, 2):
        work.take("archive", number)
        work.may_end[number].set()

    work.await_begun(1, 2, 3)
    assert work.begun == [3, 1, 2]


def test_behind_a_slow_delivery_everything_is_put_off_for_longer(work: Deliveries) -> None:
    work.take("archive", 1)
    work.now = SLOW_SECONDS + 1
    work.take("archive", 2)

    assert work.put_off == [(2, 5.0)]


def test_what_waits_behind_a_delivery_that_becomes_slow_is_put_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes_module, "SLOW_SECONDS", 0.01)
    with ending(Deliveries()) as work:
        for number in (1, 2, 3):
            work.take("archive", number)

        work.await_put_off(2)
        work.await_put_off(3)
        work.may_end[1].set()

    assert work.begun == [1]


def test_repeated_message_is_no_second_delivery(work: Deliveries) -> None:
    for number in (1, 2, 1, 2):
        work.take("archive", number)

    assert not work.put_off


def test_delivery_that_breaks_leaves_its_lane_to_the_next(work: Deliveries) -> None:
    def broken(_number: int) -> None:
        raise RuntimeError

    work.lanes.take("archive", 1, broken)
    while "archive" in work.lanes._lanes:
        threading.Event().wait(0.01)
    work.take("archive", 2)

    work.await_begun(2)


def test_delivery_for_which_there_is_no_thread_is_put_off_and_the_next_is_begun(
    work: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = ThreadShortage(monkeypatch, "lane")
    work.take("archive", 1)
    shortage.is_on = False
    work.take("archive", 2)

    work.await_begun(2)
    assert work.put_off == [(1, 5.0)]


def test_what_no_thread_can_time_does_not_wait_behind_another(
    work: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = ThreadShortage(monkeypatch, "Thread-")
    work.take("archive", 1)
    work.take("archive", 2)
    shortage.is_on = False
    for number in (3, 4, 5):
        work.take("archive", number)
    shortage.is_on = True
    work.may_end[1].set()

    work.await_begun(3)
    work.await_put_off(5)
    assert work.put_off == [(2, 5.0), (4, 5.0), (5, 5.0)]
    work.may_end[3].set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_ends_in_any_way_frees_its_lane(work: Deliveries) -> None:
    def ended(_number: int) -> None:
        raise SystemExit

    work.lanes.take("archive", 1, ended)
    while "archive" in work.lanes._lanes:
        threading.Event().wait(0.01)
    work.take("archive", 2)

    work.await_begun(2)


def test_closed_lanes_begin_nothing_and_name_what_still_runs() -> None:
    with ending(Deliveries()) as work:
        work.take("silent", 1)
        work.take("silent", 2)
        work.take("healthy", 3)
        work.await_begun(1, 3)
        work.may_end[3].set()
        while "healthy" in work.lanes._lanes:
            threading.Event().wait(0.01)

        assert work.lanes.close(0) == [1]
        assert work.lanes.is_closed
        work.take("another", 4)

        assert work.put_off == [(2, 0.0), (4, 0.0)]
        assert set(work.begun) == {1, 3}
