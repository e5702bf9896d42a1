"""Rows P12, P13: events of a worklist over a WebSocket, beside the searches."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from node_factory import Reception
from worklist_double import Worklist, coded
from worklist_site import STUDY, Site, item, uid

from dicom_node.workitems.performer import Performer

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

NEVER = 100_000.0


def soon(is_so: Callable[[], bool], act: Callable[[], object] = lambda: None) -> None:
    """Wait for something that happens in another thread; the end is there for a failure alone."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        act()
        time.sleep(0.01)


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def listening(site: Site, stopping: threading.Event) -> Performer:
    """Start a performer that searches by the clock never again."""
    performer = site.performer(stopping=stopping)
    heard: list[str] = []
    follow = performer.cancel_asked
    performer.cancel_asked = lambda one: (heard.append(one), follow(one))[1]  # type: ignore[method-assign]
    performer.step()
    soon(lambda: bool(site.worklist.channels))
    site.worklist.tell("1.2.3", 2)
    soon(lambda: bool(heard))  # and so all that was to be done when the channel was opened
    performer.step()
    return performer


def test_p12_event_has_a_workitem_found_at_once(
    site_with: Any, worklist: Worklist, stopping: threading.Event
) -> None:
    site = site_with(events=True, seconds=NEVER)
    performer = listening(site, stopping)
    worklist.add(item())
    performer.step()
    assert site.rows() == []

    worklist.tell(uid(), 1)

    soon(lambda: bool(site.rows()), performer.step)
    assert worklist.state(uid()) == "IN PROGRESS"
    (wanted, title, query), *_ = worklist.subscriptions
    assert (wanted, title) == ("1.2.840.10008.5.1.4.34.5.1", "MAMMOCLIP")
    assert query["deletionlock"] == "false"
    assert "00404018.00080100=MAMMO-AI" in query["filter"]


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
def test_p12_channel_that_drops_keeps_no_workitem_waiting(
    site_with: Any, worklist: Worklist, stopping: threading.Event, monkeypatch: Any, times: int
) -> None:
    monkeypatch.setattr("dicom_node.workitems.event_channel._FIRST_PAUSE_SECONDS", 0.01)
    site = site_with(events=True, seconds=NEVER, most_at_once=100)
    performer = listening(site, stopping)
    for number in range(1, times + 1):
        opened = worklist.opened
        worklist.drop_channels()
        worklist.add(item(number, f"{STUDY}.{number}"))  # its event is told to nobody
        soon(lambda was=opened: worklist.opened > was)  # type: ignore[misc]

        soon(lambda one=number: worklist.claims[uid(one)] == 1, performer.step)  # type: ignore[misc]

    assert {row.state for row in site.rows()} == {"held"}


def test_p11_event_that_asks_to_cancel_is_followed(
    site_with: Any, worklist: Worklist, stopping: threading.Event
) -> None:
    site = site_with(events=True, seconds=NEVER)
    worklist.add(item())
    performer = listening(site, stopping)

    worklist.ask_to_cancel(uid(), "no more needed")

    soon(lambda: worklist.state(uid()) == "CANCELED", performer.step)
    assert "no more needed" not in site.row().reason, "what people write may name a patient"


def test_p13_workitem_that_is_assigned_to_the_node_is_taken(
    site_with: Any, worklist: Worklist, stopping: threading.Event
) -> None:
    own = {"value": "NODE-1", "scheme": "99TEST", "meaning": "Node 1"}
    worklist.add(item())
    site = site_with(events=True, seconds=NEVER, station_names=[own])
    performer = listening(site, stopping)
    assert site.rows() == []

    worklist.items[uid()]["00404025"] = coded("NODE-1")
    worklist.tell(uid(), 5)

    soon(lambda: bool(site.rows()), performer.step)
    assert worklist.state(uid()) == "IN PROGRESS"


def test_channel_is_opened_where_the_server_says_and_on_no_other_host(
    site_with: Any, worklist: Worklist, stopping: threading.Event, monkeypatch: Any
) -> None:
    worklist.locates_channel = True
    site = site_with(events=True)
    channel = site.performer(stopping=stopping)
    channel.step()
    soon(lambda: bool(worklist.channels))
    assert channel._channel is not None

    assert next(iter(worklist.channels)).url.path == "/elsewhere/MAMMOCLIP"
    assert channel._channel._place("ws://evil.example/x") == (
        f"ws://127.0.0.1:{worklist.port}/ups/subscribers/MAMMOCLIP"
    )


@pytest.mark.parametrize("noise", ["", "[]", "[1]", "{", '{"00001002": 7}', "null", "[" * 5000])
def test_what_is_no_event_ends_nothing(
    site_with: Any, stopping: threading.Event, noise: str
) -> None:
    site = site_with(events=False)
    performer = site.performer(stopping=stopping)
    from dicom_node.workitems.event_channel import EventChannel

    heard: list[str] = []
    channel = EventChannel(
        site.settings,
        on_news=lambda: None,
        on_cancel=heard.append,
        stopping=stopping,
    )

    channel._hear(noise)

    assert heard == []
    performer.step()


def test_server_and_channel_are_spoken_to_over_tls(
    reception: Reception, tmp_path: Path, stopping: threading.Event
) -> None:
    authority = Authority(tmp_path / "authority")
    certificate = authority.issue("127.0.0.1")
    with Worklist().running((certificate.file, certificate.key)) as worklist:
        options = {"events": True, "certificate_authorities": str(authority.file)}
        site = Site(reception, worklist, options)
        worklist.add(item())
        performer = site.performer(stopping=stopping)
        soon(lambda: bool(site.rows()), performer.step)
        soon(lambda: bool(worklist.channels), performer.step)

        assert worklist.state(uid()) == "IN PROGRESS"
        stopping.set()
