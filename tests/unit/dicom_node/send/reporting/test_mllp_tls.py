"""HL7 messages over TLS: certificates on both sides."""

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate
from hostile import serving
from test_mllp_receivers import (
    ReportFile,
    acknowledgement,
    control_id_of,
    destination,
    read_message,
)

from dicom_node.errors import DestinationDownError
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import ObjectToSend, Outcome
from dicom_node.send.probe import probe
from dicom_node.settings.tls import TlsSettings
from dicom_node.tls import server_context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Certificate:
    return authority.issue("node")


def secured(context: ssl.SSLContext) -> Any:
    def script(connection: socket.socket, _over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as line:
            message = read_message(line)  # type: ignore[arg-type]
            if message:
                line.sendall(acknowledgement("AA", control_id_of(message)))
                line.recv(1)

    return script


def sent(port: int, tls: TlsSettings, item: ObjectToSend, **changes: Any) -> Outcome:
    ris = destination(port, tls=True, host="localhost", **changes)
    (answer,) = sender_for(ris, calling_ae_title="X", tls=tls).send([item])
    return answer.outcome


def test_message_goes_over_tls_with_the_nodes_certificate(
    authority: Authority, node: Certificate, report_file: ReportFile
) -> None:
    tls = authority.settings(node)
    with serving(secured(server_context(tls, asks_for_certificate=True))) as port:
        assert sent(port, tls, report_file()) is Outcome.ACCEPTED


@pytest.mark.parametrize("how", [{"san": "DNS:elsewhere"}, {"days": -1}])
def test_receiver_with_a_wrong_certificate_gets_no_message(
    authority: Authority, report_file: ReportFile, how: dict[str, Any]
) -> None:
    shown = authority.settings(authority.issue("localhost", **how))
    with (
        serving(secured(server_context(shown, asks_for_certificate=False))) as port,
        pytest.raises(DestinationDownError, match="TLS failed: certificate refused"),
    ):
        sent(port, authority.settings(), report_file())


def test_name_in_the_certificate_can_be_set(authority: Authority, report_file: ReportFile) -> None:
    shown = authority.settings(authority.issue("ris", san="DNS:ris.example"))
    with serving(secured(server_context(shown, asks_for_certificate=False))) as port:
        outcome = sent(port, authority.settings(), report_file(), tls_server_name="ris.example")

    assert outcome is Outcome.ACCEPTED


def test_receiver_without_tls_gets_no_message(
    authority: Authority, report_file: ReportFile
) -> None:
    heard: list[bytes] = []

    def plain(connection: socket.socket, _over: threading.Event) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"what?")

    with serving(plain) as port, pytest.raises(DestinationDownError, match="TLS failed"):
        sent(port, authority.settings(), report_file())
    assert b"PID" not in b"".join(heard)


def test_certificate_that_is_not_there_is_named(tmp_path: Path, report_file: ReportFile) -> None:
    tls = TlsSettings(certificate_authorities=tmp_path / "none.crt")

    def unused(connection: socket.socket, _over: threading.Event) -> None:
        connection.recv(1)

    with serving(unused) as port, pytest.raises(DestinationDownError, match=r"none\.crt"):
        sent(port, tls, report_file())


def test_probe_makes_the_handshake_and_sends_nothing(authority: Authority) -> None:
    context = server_context(
        authority.settings(authority.issue("localhost")), asks_for_certificate=False
    )
    heard: list[bytes] = []

    def script(connection: socket.socket, _over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as line:
            heard.append(line.recv(10))

    with serving(script) as port:
        probe(
            destination(port, tls=True, host="localhost"),
            calling_ae_title="X",
            tls=authority.settings(),
        )
    assert heard == [b""]
