"""HL7 messages over MLLP, to receivers that answer well, badly, and not at all."""

import socket
import threading
import time
from collections.abc import Callable

import pytest
from hostile import Script, serving
from mllp_double import acknowledgement, answering, control_id_of, read_message, saying
from ports import free_port

from dicom_node.errors import DestinationDownError
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.settings.ways_out.reporting import Hl7Destination

ReportFile = Callable[..., ObjectToSend]


def destination(port: int, **changes: object) -> Hl7Destination:
    values = {"kind": "hl7", "name": "ris", "host": "127.0.0.1", "port": port}
    values |= {"timeout_seconds": 5, "exchange_seconds": 5, **changes}
    return Hl7Destination.model_validate(values)


def sent(port: int, *items: ObjectToSend, **changes: object) -> list[Answer]:
    sender = sender_for(destination(port, **changes), calling_ae_title="MAMMOCLIP")
    return list(sender.send(items))


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("AA", Outcome.ACCEPTED),
        ("CA", Outcome.ACCEPTED),
        ("AE", Outcome.POSTPONED),
        ("AR", Outcome.REFUSED),
        ("??", Outcome.POSTPONED),
    ],
)
def test_acknowledgement_code_decides(report_file: ReportFile, code: str, outcome: Outcome) -> None:
    item = report_file()

    with serving(answering(code)) as port:
        (answer,) = sent(port, item)

    assert (answer.key, answer.outcome) == (item.key, outcome)


def test_several_reports_go_over_one_connection(report_file: ReportFile) -> None:
    items = [report_file("one finding"), report_file("no finding")]
    kept: list[bytes] = []

    with serving(answering("AA", "AE", kept=kept)) as port:
        answers = sent(port, *items)

    assert [one.outcome for one in answers] == [Outcome.ACCEPTED, Outcome.POSTPONED]
    assert len({control_id_of(one) for one in kept}) == 2


def test_message_that_is_sent_again_is_the_same(report_file: ReportFile) -> None:
    item, kept = report_file(), []

    with serving(answering("AE", kept=kept)) as port:
        sent(port, item)
        sent(port, item)

    assert len(kept) == 2
    assert kept[0] == kept[1]


def test_answer_to_another_message_is_passed_over(report_file: ReportFile) -> None:
    late = saying(
        lambda _: acknowledgement("AR", "M0"), lambda control_id: acknowledgement("AA", control_id)
    )

    with serving(late) as port:
        (answer,) = sent(port, report_file())

    assert answer.outcome is Outcome.ACCEPTED


def test_first_of_two_answers_counts(report_file: ReportFile) -> None:
    both = saying(
        lambda control_id: acknowledgement("AA", control_id) + acknowledgement("AR", control_id)
    )

    with serving(both) as port:
        (answer,) = sent(port, report_file())

    assert answer.outcome is Outcome.ACCEPTED


def test_second_answer_to_a_message_is_none_to_the_next(report_file: ReportFile) -> None:
    def script(connection: socket.socket, _over: threading.Event) -> None:
        first = control_id_of(read_message(connection))
        connection.sendall(acknowledgement("AA", first) * 2)
        second = control_id_of(read_message(connection))
        connection.sendall(acknowledgement("AE", second))
        connection.recv(1)

    with serving(script) as port:
        answers = sent(port, report_file("one finding"), report_file("no finding"))

    assert [one.outcome for one in answers] == [Outcome.ACCEPTED, Outcome.POSTPONED]


@pytest.mark.parametrize(
    "written",
    [
        lambda one: b"noise" + acknowledgement("AA", one),
        lambda one: b"\x0b\x0b\x0b" + acknowledgement("AA", one),
        lambda one: b"\x0bbroken off" + acknowledgement("AA", one),
        lambda one: b"\x0b\x06\x1c\r" + acknowledgement("AA", one),
        lambda one: acknowledgement("AA", one).removesuffix(b"\r"),
        lambda one: acknowledgement("AA", one).replace(b"\r\x1c", b"\x1c"),
    ],
)
def test_acknowledgement_is_found_among_what_is_none(
    report_file: ReportFile, written: Callable[[str], bytes]
) -> None:
    with serving(saying(written)) as port:
        (answer,) = sent(port, report_file())

    assert answer.outcome is Outcome.ACCEPTED


def test_acknowledgement_in_single_bytes_is_read(report_file: ReportFile) -> None:
    def script(connection: socket.socket, _over: threading.Event) -> None:
        for byte in acknowledgement("AA", control_id_of(read_message(connection))):
            connection.sendall(bytes([byte]))
        connection.recv(1)

    with serving(script) as port:
        (answer,) = sent(port, report_file())

    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (saying(lambda _: acknowledgement("AA", "M0")), "none to the message that was sent"),
        (saying(lambda _: acknowledgement("AA", "")), "none to the message that was sent"),
        (saying(lambda _: b"\x0bMSA|AA|\x1c\r"), "none to the message that was sent"),
        (saying(lambda _: b"\x0b" * 300_000), "more than an acknowledgement"),
        (saying(lambda _: b"x" * 300_000), "more than an acknowledgement"),
        (saying(lambda _: acknowledgement("AA", "M0") * 9000), "more than an acknowledgement"),
        (saying(), "no answer for timeout_seconds"),
        (lambda connection, _over: read_message(connection), "without an answer"),
        (lambda connection, _over: None, "ended the connection|without an answer"),
    ],
)
def test_receiver_that_does_not_answer_the_message_is_down(
    report_file: ReportFile, script: Script, words: str
) -> None:
    def ending(connection: socket.socket, over: threading.Event) -> None:
        script(connection, over)

    with serving(ending) as port, pytest.raises(DestinationDownError, match=words):
        sent(port, report_file(), timeout_seconds=0.15)


def test_receiver_that_trickles_is_given_up_by_the_deadline(report_file: ReportFile) -> None:
    def trickle(connection: socket.socket, over: threading.Event) -> None:
        read_message(connection)
        connection.sendall(b"\x0b")
        while not over.wait(0.02):
            connection.sendall(b"x")

    began = time.monotonic()
    with (
        serving(trickle) as port,
        pytest.raises(DestinationDownError, match="within exchange_seconds"),
    ):
        sent(port, report_file(), timeout_seconds=60, exchange_seconds=0.3)
    assert time.monotonic() - began < 30


def test_receiver_that_reads_nothing_is_given_up(report_file: ReportFile) -> None:
    def deaf(connection: socket.socket, over: threading.Event) -> None:
        over.wait()

    with (
        serving(deaf) as port,
        pytest.raises(DestinationDownError, match="ris: "),
    ):
        sent(port, report_file("four views"), timeout_seconds=0.3, exchange_seconds=0.5)


def test_nobody_at_the_port_is_told_with_what_to_check(report_file: ReportFile) -> None:
    with pytest.raises(DestinationDownError, match=r"does not answer.*host and port"):
        sent(free_port(), report_file())


def test_report_that_cannot_be_read_is_refused_without_a_connection(
    report_file: ReportFile,
) -> None:
    item = report_file()
    item.file.write_bytes(b"damaged")

    (answer,) = sent(free_port(), item)

    assert answer.outcome is Outcome.REFUSED
    assert "cannot be read" in answer.status
