"""Whether a destination answers is asked without sending it anything."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from archive import Archive, destination
from hostile import after_association, after_request_of_http, sends, serving
from ports import free_port
from pynetdicom.sop_class import Verification

from dicom_node.errors import DestinationDownError
from dicom_node.send.probe import probe
from dicom_node.settings.ways_out.destinations import DicomwebDestination
from dicom_node.settings.ways_out.reporting import Hl7Destination

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def ask(port: int, **changes: Any) -> None:
    probe(destination(port, **changes), calling_ae_title="MAMMOCLIP")


def ask_web(port: int, **changes: Any) -> None:
    url = f"http://127.0.0.1:{port}/dicom-web"
    web = DicomwebDestination(
        name="web", kind="dicomweb", url=url, timeout_seconds=2, exchange_seconds=1, **changes
    )
    probe(web, calling_ae_title="MAMMOCLIP")


@pytest.mark.parametrize("limit", ["timeout_seconds", "exchange_seconds"])
@pytest.mark.parametrize("kind", ["dicomweb", "hl7"])
def test_dead_addresses_of_a_host_take_no_longer_than_one(
    monkeypatch: pytest.MonkeyPatch, kind: str, limit: str
) -> None:
    tried: list[Any] = []

    def silent(address: Any, timeout: float = 0, *_: Any, **__: Any) -> None:
        tried.append(address)
        time.sleep(timeout)
        raise TimeoutError("timed out")

    addresses = tuple(f"192.0.2.{number}" for number in range(1, 11))
    for module in ("dicomweb_session", "reporting.mllp"):
        monkeypatch.setattr(f"dicom_node.send.{module}.look_up", lambda *_: addresses)
    monkeypatch.setattr("socket.create_connection", silent)
    monkeypatch.setattr("urllib3.util.connection.create_connection", silent)
    seconds = {"timeout_seconds": 30, "exchange_seconds": 60, limit: 0.5}
    asked: Any = (
        DicomwebDestination(kind="dicomweb", name="a", url="http://many.example/", **seconds)
        if kind == "dicomweb"
        else Hl7Destination(kind="hl7", name="a", host="many.example", **seconds)
    )

    began = time.monotonic()
    with pytest.raises(DestinationDownError):
        probe(asked, calling_ae_title="MAMMOCLIP")
    assert time.monotonic() - began < 5
    assert {address for address, _ in tried} == set(addresses)


def test_archive_that_answers_c_echo_is_sent_nothing(
    archive_with: Callable[..., Archive],
) -> None:
    archive = archive_with(classes=(str(Verification),))

    ask(archive.port)

    assert (archive.received, archive.released) == ([], 1)


def test_archive_that_takes_no_c_echo_answers_all_the_same(
    archive_with: Callable[..., Archive],
) -> None:
    ask(archive_with().port)


def test_archive_that_does_not_know_us_is_down_with_the_reason(
    archive_with: Callable[..., Archive],
) -> None:
    archive = archive_with(callers=("SOMEBODY",))

    with pytest.raises(DestinationDownError, match="does not know the calling AE title MAMMOCLIP"):
        ask(archive.port)


def test_destination_may_have_a_calling_title_of_its_own(
    archive_with: Callable[..., Archive],
) -> None:
    ask(archive_with(callers=("SOMEBODY",)).port, calling_ae_title="SOMEBODY")


@pytest.mark.parametrize("asked", [ask, ask_web])
def test_nobody_behind_the_port_is_down(asked: Callable[[int], None]) -> None:
    with pytest.raises(DestinationDownError, match="does not answer"):
        asked(free_port())


def test_archive_that_goes_silent_after_the_association_is_down() -> None:
    with (
        serving(after_association(sends(b"\x04\x00\x00"))) as port,
        pytest.raises(DestinationDownError, match=r"no complete answer within exchange_seconds"),
    ):
        ask(port, exchange_seconds=1)


@contextmanager
def answering(status: str) -> Iterator[int]:
    head = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with serving(after_request_of_http(sends(head))) as port:
        yield port


@pytest.mark.parametrize("status", ["200 OK", "204 No", "401 No", "404 No", "500 No", "501 No"])
def test_archive_that_answers_a_search_somehow_is_not_down(status: str) -> None:
    with answering(status) as port:
        ask_web(port)


def test_archive_with_a_password_of_any_letters_answers() -> None:
    with answering("401 No") as port:
        ask_web(port, username="müller", password="пароль")


def test_request_that_the_library_cannot_write_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwritable(*_: object, **__: object) -> None:
        raise UnicodeEncodeError("latin-1", "\u20ac", 0, 1, "not in range")

    monkeypatch.setattr("requests.Session.request", unwritable)
    with pytest.raises(DestinationDownError, match="UnicodeEncodeError"):
        ask_web(1)


@pytest.mark.parametrize("status", ["502 No", "503 No", "504 No"])
def test_gateway_whose_archive_is_away_is_down(status: str) -> None:
    with answering(status) as port, pytest.raises(DestinationDownError, match=status[:3]):
        ask_web(port)


def test_archive_that_ends_no_answer_is_down() -> None:
    with (
        serving(after_request_of_http(sends(b"HTTP/1.1 20"))) as port,
        pytest.raises(DestinationDownError, match=r"no complete answer within exchange_seconds"),
    ):
        ask_web(port)
