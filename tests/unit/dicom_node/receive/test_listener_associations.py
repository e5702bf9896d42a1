"""Which associations the listener accepts, and that it knows which are open."""

import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
from listener_factory import Listening, associated, request, requestor, store
from node_factory import (
    FOR_PRESENTATION,
    encoded,
    mammogram,
)
from services import wait_for

from dicom_node.spool.local_disk import Spool


def test_called_title_of_somebody_else_is_rejected(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening()

    with associated(port, called="SOMEBODY") as association:
        assert association.is_rejected

    wait_for(lambda: log_lines, seconds=10, what="the rejection is told")
    assert log_lines[0]["event"] == "association_rejected"
    assert log_lines[0]["called_ae_title"] == "SOMEBODY"


@pytest.mark.parametrize("called", ["MAMMOCLIP", "AI2", " AI2 "])
def test_each_of_the_nodes_titles_is_accepted(listening: Listening, called: str) -> None:
    _, port = listening(called_ae_titles=("AI1", "AI2"))

    with associated(port, called=called) as association:
        assert association.is_established


def test_any_called_title_is_accepted_where_none_is_required(listening: Listening) -> None:
    _, port = listening(require_called_ae_title=False)

    with associated(port, called="SOMEBODY") as association:
        assert association.is_established


@pytest.mark.parametrize(("calling", "accepted"), [("ROOM1", True), ("ROOM2", False)])
def test_only_configured_senders_are_accepted(
    listening: Listening, calling: str, accepted: bool
) -> None:
    _, port = listening(calling_ae_titles=("ROOM1",))

    with associated(port, calling=calling) as association:
        assert association.is_established is accepted


@pytest.mark.parametrize(
    ("rule", "titles", "reason"),
    [
        ({}, ("ROOM1", "SOMEBODY"), "called-ae-title-not-recognized"),
        (
            {"calling_ae_titles": ("ROOM1",)},
            ("ROOM2", "MAMMOCLIP"),
            "calling-ae-title-not-recognized",
        ),
        ({"networks": ("10.1.2.0/24",)}, ("ROOM1", "MAMMOCLIP"), "network-not-allowed"),
        (
            {"senders": ({"ae_title": "ROOM1", "networks": ("10.1.2.0/24",)},)},
            ("ROOM1", "MAMMOCLIP"),
            "network-not-allowed-for-ae-title",
        ),
    ],
)
def test_rejection_has_the_right_source_and_reason(
    listening: Listening,
    log_lines: list[Any],
    rule: dict[str, Any],
    titles: tuple[str, str],
    reason: str,
) -> None:
    _, port = listening(**rule)

    with associated(port, calling=titles[0], called=titles[1]) as association:
        told = association.acceptor.primitive

    diagnostic = 7 if reason.startswith("called") else 3
    assert (told.result, told.result_source, told.diagnostic) == (1, 1, diagnostic)
    (line,) = [line for line in log_lines if line["event"] == "association_rejected"]
    assert (line["reason"], line["address"]) == (reason, "127.0.0.1")


def test_sender_is_accepted_from_its_network(listening: Listening) -> None:
    _, port = listening(senders=({"ae_title": "ROOM1", "networks": ("127.0.0.0/8",)},))

    with associated(port, calling="ROOM1") as association:
        assert association.is_established


def test_open_association_is_known_by_the_token_of_its_receipts(
    listening: Listening, spool: Spool
) -> None:
    listener, port = listening()

    with associated(port) as association:
        request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.3")
        request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.4")

        tokens = {receipt.association for receipt in spool.incoming()}
        assert len(tokens) == 1
        assert listener.open_tokens() == tokens


@pytest.mark.parametrize("end", ["release", "abort"])
def test_ended_association_is_open_no_more(listening: Listening, end: str) -> None:
    listener, port = listening()

    with associated(port) as association:
        assert len(listener.open_tokens()) == 1
        getattr(association, end)()

        wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")


def test_association_whose_line_is_cut_is_open_no_more(listening: Listening) -> None:
    listener, port = listening()
    entity = requestor()
    association = entity.associate("127.0.0.1", port, ae_title="MAMMOCLIP")
    assert len(listener.open_tokens()) == 1

    association.dul.socket.close()

    wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")


def test_rejected_association_is_not_open(listening: Listening) -> None:
    listener, port = listening()

    with associated(port, called="SOMEBODY"):
        pass

    wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")


def test_kept_object_wakes_the_registrar(listening: Listening) -> None:
    woken = threading.Event()
    _, port = listening(on_kept=woken.set)

    store(port, encoded(mammogram()))

    assert woken.is_set()


def test_refused_object_wakes_nobody(listening: Listening) -> None:
    woken = threading.Event()
    _, port = listening(on_kept=woken.set, maximum_object_bytes=100)

    assert store(port, encoded(mammogram())) == 0xA700

    assert not woken.is_set()


def test_stopped_listener_lets_its_port_go(listening: Listening) -> None:
    listener, port = listening()

    listener.stop()

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_taken_port_is_an_error(listening: Listening, spool: Spool) -> None:
    _, port = listening()
    # In a process of its own: the library leaves the socket open that it could not bind.
    code = (
        "import sys; from pathlib import Path; from dicom_node.receive.listener import Listener\n"
        "from dicom_node.settings.ways_in.receive import ReceiveSettings\n"
        "from dicom_node.spool.local_disk import Spool\n"
        "Listener(ReceiveSettings(port=int(sys.argv[1])), Spool(Path(sys.argv[2]))).start()"
    )

    command = [sys.executable, "-c", code, str(port), str(spool.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert f"AddressError: cannot listen on 127.0.0.1 port {port}" in done.stderr


def test_connection_that_speaks_no_dicom_disturbs_nobody(listening: Listening) -> None:
    _, port = listening()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        line.settimeout(10)
        line.recv(64)

    assert store(port, encoded(mammogram())) == 0x0000
