"""What PS3.7 and PS3.8 do not allow ends the association with an A-ABORT and one log line."""

import struct
from typing import Any

import pytest
from listener_factory import Listening, store
from node_factory import encoded, mammogram
from raw_peer import (
    ABORT,
    P_DATA,
    RELEASE,
    RELEASE_RP,
    RawPeer,
    association_request,
    command,
    echo_command,
    element,
    p_data,
    pdu,
    pdv,
    short,
    store_command,
    store_request,
    user_item,
)
from services import wait_for

from dicom_node.spool.local_disk import Spool

COMMAND = p_data(pdv(store_command(), is_command=True))

MALFORMED = {
    "PDV of length 0": pdu(P_DATA, struct.pack(">L", 0)),
    "PDV of length 1": pdu(P_DATA, struct.pack(">LB", 1, 1)),
    "PDV past its PDU": pdu(P_DATA, struct.pack(">LBB", 5000, 1, 3) + bytes(20)),
    "PDV of 4 GB": pdu(P_DATA, struct.pack(">LBB", 2**32 - 1, 1, 3) + bytes(20)),
    "bytes after the last PDV": pdu(P_DATA, pdv(echo_command(), is_command=True) + b"xx"),
    "P-DATA without a PDV": pdu(P_DATA, b""),
    "context that was not accepted": p_data(pdv(store_command(), context=99, is_command=True)),
    "data set without a command": p_data(pdv(b"data")),
    "data set in another context": COMMAND + p_data(pdv(b"data", context=3)),
    "command in two contexts": p_data(
        pdv(store_command()[:20], is_command=True, is_last=False),
        pdv(store_command()[20:], context=3, is_command=True),
    ),
    "second command within a data set": COMMAND + COMMAND,
    "release within a data set": COMMAND + RELEASE,
    "command that never ends": b"".join(
        p_data(pdv(bytes(60_000), is_command=True, is_last=False)) for _ in range(4)
    ),
    "data set of empty fragments": COMMAND + p_data(pdv(b"", is_last=False)) * 1100,
    "command of empty fragments": p_data(*1100 * [pdv(b"", is_command=True, is_last=False)]),
    "command that is cut off": p_data(pdv(store_command()[:-3], is_command=True)),
    "command of random bytes": p_data(pdv(bytes(range(256)), is_command=True)),
    "empty command": p_data(pdv(b"", is_command=True)),
    "command of another group": p_data(
        pdv(struct.pack("<HHL", 8, 0x0016, 4) + b"1.2\0", is_command=True)
    ),
    "element of 4 GB": p_data(pdv(struct.pack("<HHL", 0, 2, 2**32 - 1), is_command=True)),
    "request without a message ID": p_data(
        pdv(command((0x0100, short(1)), (0x0800, short(1))), is_command=True)
    ),
    "response to nothing": p_data(
        pdv(
            command((0x0100, short(0x8001)), (0x0110, short(1)), (0x0800, short(0x0101))),
            is_command=True,
        )
    ),
    "second association request": association_request(),
    "A-ASSOCIATE-AC": pdu(2, bytes(68)),
    "A-ASSOCIATE-RJ": pdu(3, bytes(4)),
    "A-RELEASE-RP": pdu(6, bytes(4)),
    "A-RELEASE-RQ of 4 GB": pdu(5, bytes(4), claims=2**32 - 1),
    "P-DATA of 4 GB": pdu(P_DATA, bytes(1000), claims=2**32 - 1),
    "P-DATA over what was announced": pdu(P_DATA, bytes(1000), claims=131_073),
    "PDU type 0": pdu(0, b""),
    "PDU type 255": pdu(255, bytes(8)),
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_conversation_is_aborted_in_one_line(
    listening: Listening, spool: Spool, log_lines: list[Any], name: str
) -> None:
    _, port = listening()

    with RawPeer(port).associate(calling=b"ROOM9") as peer:
        peer.write(MALFORMED[name])
        kind, content = peer.read()

    assert (kind, content[2]) == (ABORT, 2), "an A-ABORT of the service provider"
    wait_for(lambda: log_lines, seconds=10, what="the abort is told")
    (line,) = log_lines
    assert (line["event"], line["reason"]) == ("association_aborted", "protocol-error")
    assert (line["address"], line["calling_ae_title"]) == ("127.0.0.1", "ROOM9")
    assert not list((spool.root / "partial").iterdir())
    assert spool.incoming() == []
    assert store(port, encoded(mammogram())) == 0x0000


def test_peer_s_abort_is_told_in_one_line(listening: Listening, log_lines: list[Any]) -> None:
    _, port = listening()

    with RawPeer(port).associate() as peer:
        peer.write(pdu(ABORT, bytes([0, 0, 2, 6])))
        wait_for(lambda: log_lines, seconds=10, what="the abort is told")

    (line,) = log_lines
    assert line["reason"] == "aborted-by-peer"
    assert line["detail"] == "A-ABORT, source 2, reason 6"


@pytest.mark.parametrize("begun", [b"", COMMAND, COMMAND + p_data(pdv(b"half", is_last=False))])
def test_connection_that_is_cut_is_told_in_one_line(
    listening: Listening, spool: Spool, log_lines: list[Any], begun: bytes
) -> None:
    listener, port = listening()

    with RawPeer(port).associate() as peer:
        peer.write(begun)

    wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")
    wait_for(lambda: log_lines, seconds=10, what="the loss is told")
    assert [line["reason"] for line in log_lines] == ["connection-lost"]
    assert not list((spool.root / "partial").iterdir())


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_object_in_fragments_of_any_size_is_kept_byte_for_byte(
    listening: Listening, spool: Spool, size: int
) -> None:
    _, port = listening()
    content = encoded(mammogram())

    with RawPeer(port).associate() as peer:
        peer.write(store_request(content, size=size))
        status = peer.status()

    (receipt,) = spool.incoming()
    assert status == 0x0000
    assert spool.incoming_file(receipt).read_bytes().endswith(content)


def test_object_with_empty_fragments_is_kept_byte_for_byte(
    listening: Listening, spool: Spool
) -> None:
    _, port = listening()
    nothing = pdv(b"", is_last=False)
    fragments = [pdv(store_command(), is_command=True), nothing, pdv(b"ab", is_last=False), nothing]

    with RawPeer(port).associate() as peer:
        peer.write(p_data(*fragments, pdv(b"cd", is_last=False)) + p_data(pdv(b"")))
        status = peer.status()

    (receipt,) = spool.incoming()
    assert status == 0x0000
    assert spool.incoming_file(receipt).read_bytes().endswith(b"abcd")


def test_echoes_are_all_answered_however_many_are_sent_at_once(listening: Listening) -> None:
    _, port = listening()

    with RawPeer(port).associate() as peer:
        peer.write(p_data(pdv(echo_command(), context=3, is_command=True)) * 80)
        assert [peer.status() for _ in range(80)] == [0x0000] * 80


def test_command_in_fragments_of_a_byte_is_understood(listening: Listening) -> None:
    _, port = listening()
    whole = echo_command()
    fragments = [
        pdv(whole[at : at + 1], context=3, is_command=True, is_last=at == len(whole) - 1)
        for at in range(len(whole))
    ]

    with RawPeer(port).associate() as peer:
        peer.write(p_data(*fragments))

        assert peer.status() == 0x0000


def test_requests_of_one_pdu_are_answered_in_their_order(listening: Listening) -> None:
    _, port = listening()
    echoes = [pdv(echo_command(number), context=3, is_command=True) for number in (7, 8)]

    with RawPeer(port).associate() as peer:
        peer.write(p_data(*echoes))
        answers = [peer.read()[1] for _ in echoes]

    assert [element(0x0120, short(number)) in answer for number, answer in enumerate(answers, 7)]
    assert element(0x0120, short(7)) in answers[0]


def test_release_is_answered(listening: Listening, log_lines: list[Any]) -> None:
    _, port = listening()

    with RawPeer(port).associate() as peer:
        peer.write(RELEASE)

        assert [peer.read()[0], peer.read()[0]] == [RELEASE_RP, 0]
    assert log_lines == []


@pytest.mark.parametrize("field", [0x0010, 0x0020, 0x0021, 0x0100, 0x0110, 0x0120, 0x0140, 0x7FFF])
def test_service_that_the_node_has_not_is_refused_and_the_association_goes_on(
    listening: Listening, field: int
) -> None:
    _, port = listening()
    asked = command((0x0100, short(field)), (0x0110, short(1)), (0x0800, short(1)))

    with RawPeer(port).associate() as peer:
        peer.write(p_data(pdv(asked, is_command=True), pdv(b"identifier")))
        refused = peer.status()
        peer.write(p_data(pdv(echo_command(), context=3, is_command=True)))

        assert (refused, peer.status()) == (0x0211, 0x0000)


@pytest.mark.parametrize("maximum", [1, 6, 7, 50, 0])
def test_answer_is_cut_to_what_the_peer_can_receive(listening: Listening, maximum: int) -> None:
    _, port = listening()

    with RawPeer(port).associate(user=user_item(maximum=maximum)) as peer:
        peer.write(p_data(pdv(echo_command(), context=3, is_command=True)))
        answer, sizes, is_last = b"", [], False
        while not is_last:
            _, content = peer.read()
            sizes.append(len(content))
            answer += content[6:]
            is_last = bool(content[5] & 2)

    assert answer.endswith(element(0x0900, short(0)))
    assert maximum < 7 or max(sizes) <= maximum


@pytest.mark.parametrize(
    "uid",
    [b"1." + b"2" * 68, b"9" * 65, b"1" * 65_000, b"", b"1.2\x003", "1.2.é".encode(), b"C:\\x"],
    ids=["70", "65", "65,000", "none", "with NUL", "UTF-8", "backslash"],
)
def test_object_whose_uid_is_none_is_refused_and_the_next_is_taken(
    listening: Listening, spool: Spool, log_lines: list[Any], uid: bytes
) -> None:
    _, port = listening()

    with RawPeer(port).associate() as peer:
        peer.write(store_request(b"first", uid))
        refused = peer.status()
        peer.write(store_request(b"second"))

        assert (refused, peer.status()) == (0x0117, 0x0000)
    assert len(spool.incoming()) == 1
    refusals = [line for line in log_lines if line["event"] == "instance_refused"]
    assert [line["reason"] for line in refusals] == ["invalid-sop-instance-uid"]


def test_object_of_another_class_than_its_context_is_refused(listening: Listening) -> None:
    _, port = listening()
    other = store_command(sop_class=b"1.2.840.10008.5.1.4.1.1.1.2.1")

    with RawPeer(port).associate() as peer:
        peer.write(p_data(pdv(other, is_command=True), pdv(b"data")))

        assert peer.status() == 0x0212


def test_request_without_a_data_set_is_refused(listening: Listening) -> None:
    _, port = listening()

    with RawPeer(port).associate() as peer:
        peer.write(p_data(pdv(store_command(data_set=0x0101), is_command=True)))

        assert peer.status() == 0x0212


def test_stored_file_begins_with_a_preamble_of_our_own(listening: Listening, spool: Spool) -> None:
    _, port = listening()
    program = b"\x7fELF" + bytes(124) + b"DICM" + encoded(mammogram())

    with RawPeer(port).associate() as peer:
        peer.write(store_request(program))
        assert peer.status() == 0x0000

    (receipt,) = spool.incoming()
    assert spool.incoming_file(receipt).read_bytes()[:132] == bytes(128) + b"DICM"
