"""Association requests that are too large, malformed, or ask for what the node has not."""

import socket
import struct
from typing import Any

import pytest
from listener_factory import Listening, store
from node_factory import encoded, mammogram
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, build_context
from raw_peer import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    CONTEXTS,
    EXPLICIT,
    FOR_PRESENTATION,
    RawPeer,
    association_request,
    context_item,
    item,
    pdu,
    user_item,
)
from services import wait_for

from dicom_node.receive.upper_layer.negotiation import (
    MAXIMUM_REQUEST_BYTES,
    Agreement,
    Request,
    agree,
)


def contexts(count: int) -> bytes:
    return b"".join(context_item(2 * n % 256 | 1, FOR_PRESENTATION) for n in range(count))


MALFORMED = {
    "4 GB announced": association_request(claims=2**32 - 1),
    "one byte more than is allowed": association_request(claims=MAXIMUM_REQUEST_BYTES + 1),
    "shorter than its fixed part": pdu(1, bytes(67)),
    "no length": pdu(1, b""),
    "129 presentation contexts": association_request(contexts=contexts(129)),
    "4,000 presentation contexts": association_request(contexts=contexts(4000)),
    "2,000 transfer syntaxes": association_request(
        contexts=context_item(1, FOR_PRESENTATION, *[EXPLICIT] * 2000)
    ),
    "100,000 transfer syntaxes": association_request(
        contexts=context_item(1, FOR_PRESENTATION, *[EXPLICIT] * 2000) * 50
    ),
    "user information twice": association_request(user=user_item() + user_item()),
    "10,000 empty user information items": association_request(
        user=user_item(*[item(0x57, b"")] * 10_000)
    ),
    "even presentation context ID": association_request(contexts=context_item(2, FOR_PRESENTATION)),
    "item past the request": association_request(contexts=struct.pack(">BBH", 0x20, 0, 60_000)),
    "sub-item past its item": association_request(
        contexts=item(0x20, bytes([1, 0, 0, 0]) + struct.pack(">BBH", 0x30, 0, 60_000))
    ),
    "item cut off": association_request(user=b"\x50\x00"),
    "context of no bytes": association_request(contexts=item(0x20, b"")),
    "context without an abstract syntax": association_request(
        contexts=item(0x20, bytes([1, 0, 0, 0]))
    ),
    "context without a transfer syntax": association_request(
        contexts=item(0x20, bytes([1, 0, 0, 0]) + item(0x30, FOR_PRESENTATION.encode()))
    ),
    "implementation name of 65 KB": association_request(user=user_item(item(0x55, b"x" * 65_000))),
    "random items": association_request(contexts=bytes(range(256)) * 4, user=b""),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_is_aborted_in_one_line(
    listening: Listening, log_lines: list[Any], name: str
) -> None:
    listener, port = listening()

    with RawPeer(port) as peer:
        peer.write(MALFORMED[name])
        kind, content = peer.read()

    assert (kind, content[2]) == (ABORT, 2), "an A-ABORT of the service provider"
    (line,) = log_lines
    assert line["event"] in {"association_aborted", "connection_ended"}
    assert (line["reason"], line["address"]) == ("protocol-error", "127.0.0.1")
    wait_for(lambda: not listener.open_tokens(), seconds=10, what="its place is free")
    assert store(port, encoded(mammogram())) == 0x0000


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (MALFORMED["item cut off"], "protocol-error"),
        (association_request(version=2), "protocol-version-not-supported"),
    ],
)
def test_peer_that_resets_its_connection_is_told_by_its_own_fault(
    listening: Listening, log_lines: list[Any], request_: bytes, reason: str
) -> None:
    _, port = listening()

    for _ in range(20):
        peer = RawPeer(port)
        peer.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.write(request_)
        peer.line.close()

    wait_for(lambda: len(log_lines) >= 20, seconds=10, what="all are told")
    assert {line["reason"] for line in log_lines} <= {reason, "connection-lost"}
    assert "association_failed" not in {line["event"] for line in log_lines}


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ({"called": b"SOMEBODY"}, (1, 1, 7)),
        ({"calling": b"STRANGER"}, (1, 1, 3)),
        ({"called": b"SOMEBODY", "calling": b"STRANGER"}, (1, 1, 7)),
        ({"application": b"1.2.3"}, (1, 1, 2)),
        ({"version": 2}, (1, 2, 2)),
    ],
)
def test_rejection_states_result_source_and_reason(
    listening: Listening, log_lines: list[Any], how: dict[str, Any], answer: tuple[int, ...]
) -> None:
    _, port = listening(calling_ae_titles=("SCANNER",))

    with RawPeer(port) as peer:
        peer.write(association_request(**how))
        kind, content = peer.read()

    assert (kind, *content[1:]) == (ASSOCIATE_RJ, *answer)
    (line,) = log_lines
    assert line["event"] == "association_rejected"
    assert line["address"] == "127.0.0.1"


@pytest.mark.parametrize("title", [b"\x1b[2J\r\nroot", b"R\x00OM", "RÄUM".encode()])
def test_title_that_cannot_be_printed_does_not_reach_the_log(
    listening: Listening, log_lines: list[Any], title: bytes
) -> None:
    _, port = listening(calling_ae_titles=("SCANNER",))

    with RawPeer(port) as peer:
        peer.write(association_request(calling=title))
        assert peer.read()[0] == ASSOCIATE_RJ

    assert log_lines[0]["calling_ae_title"].isprintable()


def test_largest_request_that_a_peer_may_send_is_accepted(listening: Listening) -> None:
    _, port = listening()
    every = b"".join(
        context_item(number, FOR_PRESENTATION, *ALL_TRANSFER_SYNTAXES)
        for number in range(1, 257, 2)
    )

    with RawPeer(port) as peer:
        peer.write(association_request(contexts=every))
        kind, content = peer.read()

    assert kind == ASSOCIATE_AC
    assert content.count(item(0x40, ImplicitVRLittleEndian.encode())) == 128


def test_syntax_that_is_not_supported_costs_its_context_only(listening: Listening) -> None:
    _, port = listening()
    asked = context_item(1, FOR_PRESENTATION, "1.2.3.4") + context_item(3, FOR_PRESENTATION)

    with RawPeer(port) as peer:
        peer.write(association_request(contexts=asked))
        _, content = peer.read()

    at = 68 + len(item(0x10, b"1.2.840.10008.3.1.1.1"))
    assert content[at + 4 : at + 8] == bytes([1, 0, 4, 0])


def test_maximum_length_of_the_peer_is_taken_from_its_request() -> None:
    request = Request(association_request(contexts=CONTEXTS, user=user_item(maximum=4096)))

    agreement = agree(request, [build_context(FOR_PRESENTATION, EXPLICIT)])

    assert isinstance(agreement, Agreement)
    assert agreement.peer_maximum_bytes == 4096
    assert list(agreement.contexts) == [1]
