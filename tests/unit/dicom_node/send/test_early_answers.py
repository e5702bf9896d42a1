"""An archive that says it has stored an object before it was sent the whole is not believed."""

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from archive import destination
from certificates import Authority
from hostile import Script, serving, speaks_at
from raw_peer import ABORT, pdu
from test_answers_to_others import NEVER, success

from dicom_node.errors import DestinationDownError
from dicom_node.send.c_store import CStoreSender
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.tls import server_context

MakeObject = Callable[..., ObjectToSend]

pytestmark = pytest.mark.timeout(60)

TOO_EARLY = "before it had the whole object"
ANOTHER = "to another message than it was sent"
AT_ALL = "C-STORE"
WARNING, REFUSAL, RESOURCES = (struct.pack("<H", one) for one in (0xB000, 0xA900, 0xA700))
ABORTED = pdu(ABORT, bytes(4))


def sent(
    script: Script, *objects: ObjectToSend, tls: TlsSettings = NO_CERTIFICATES
) -> tuple[list[Answer], str]:
    """Return the answers that were believed, and why no more were."""
    answers: list[Answer] = []
    with serving(script) as port:
        archive = destination(port, tls=tls is not NO_CERTIFICATES)
        try:
            for answer in CStoreSender(archive, calling_ae_title="MAMMOCLIP", tls=tls).send(
                objects
            ):
                answers.append(answer)
        except DestinationDownError as error:
            return answers, str(error)
    return answers, ""


SCRIPTS: dict[str, tuple[Script, str]] = {
    "before the command set": (speaks_at(0, success(1)), AT_ALL),
    "after the command set": (speaks_at(1, success(1)), TOO_EARLY),
    "in the midst of the data set": (speaks_at(20, success(1)), TOO_EARLY),
    "in the midst of a PDU without limit": (speaks_at(1, success(1), maximum_pdu=0), TOO_EARLY),
    "a warning": (speaks_at(1, success(1, status=WARNING)), TOO_EARLY),
    "twice at once": (speaks_at(1, success(1), success(1)), ANOTHER),
    "early, and in time": (speaks_at(1, success(1), behind=[success(1)]), AT_ALL),
    "before the command set, and in time": (
        speaks_at(0, success(1), behind=[success(1)]),
        AT_ALL,
    ),
    "to another message": (speaks_at(1, success(7)), ANOTHER),
    "to another message, then in time": (speaks_at(1, success(7), behind=[success(1)]), AT_ALL),
    "in another context": (speaks_at(1, success(1, context=99)), ANOTHER),
    "then an abort": (speaks_at(1, success(1), ABORTED), AT_ALL),
}


@pytest.mark.parametrize(("script", "why"), SCRIPTS.values(), ids=SCRIPTS)
def test_success_before_the_whole_was_sent_is_not_believed(
    script: Script, why: str, large_object: MakeObject
) -> None:
    answers, told = sent(script, large_object())

    assert answers == []
    assert why in told


def test_success_for_the_next_object_is_not_believed(result_object: MakeObject) -> None:
    # Said together with the answer to the first, of which nothing is wrong.
    script = speaks_at(2, success(1), success(2))

    answers, told = sent(script, result_object(), result_object())

    assert [one.outcome for one in answers] in ([Outcome.ACCEPTED], [])
    assert TOO_EARLY in told or ANOTHER in told


@pytest.mark.parametrize(
    ("status", "outcome"), [(REFUSAL, Outcome.REFUSED), (RESOURCES, Outcome.POSTPONED)]
)
def test_refusal_may_come_before_the_whole_was_sent(
    status: bytes, outcome: Outcome, large_object: MakeObject
) -> None:
    answers, told = sent(speaks_at(1, success(1, status=status)), large_object())

    assert ([one.outcome for one in answers], told) == ([outcome], "")


def test_object_after_an_early_refusal_is_stored(
    large_object: MakeObject, result_object: MakeObject
) -> None:
    script = speaks_at(1, success(1, status=REFUSAL), behind=[b"", success(2)])

    answers, told = sent(script, large_object(), result_object())

    assert [one.outcome for one in answers] == [Outcome.REFUSED, Outcome.ACCEPTED]
    assert not told


def test_success_that_comes_early_over_tls_is_not_believed(
    tmp_path: Path, large_object: MakeObject, result_object: MakeObject
) -> None:
    authority = Authority(tmp_path / "authority")
    tls = authority.settings(authority.issue("node"))
    context = server_context(tls, asks_for_certificate=False)

    def secured(script: Script) -> Script:
        def serve(connection: socket.socket, over: threading.Event) -> None:
            with context.wrap_socket(connection, server_side=True) as line:
                assert line.version() == "TLSv1.3"  # which sends tickets before anything is asked
                script(line, over)

        return serve

    early, told = sent(secured(speaks_at(1, success(1))), large_object(), tls=tls)
    in_time, _ = sent(secured(speaks_at(NEVER, behind=[success(1)])), result_object(), tls=tls)

    assert (early, TOO_EARLY in told) == ([], True)
    assert [one.outcome for one in in_time] == [Outcome.ACCEPTED]
