"""The same guard over TLS: a handshake that is never finished shuts nobody out."""

import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from listener_factory import Listening, request, requestor
from node_factory import FOR_PRESENTATION, encoded, mammogram
from raw_peer import RawPeer, association_request


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the context of a server and of a client that trusts it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2"]
    subprocess.run(command, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    client.check_hostname = False
    return server, client


def test_object_is_stored_over_tls_while_silent_handshakes_wait(
    listening: Listening, contexts: tuple[ssl.SSLContext, ssl.SSLContext], log_lines: list[Any]
) -> None:
    server, client = contexts
    _, port = listening(tls=server, request_timeout_seconds=5)
    silent = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(100)]

    association = requestor().associate(
        "127.0.0.1", port, ae_title="MAMMOCLIP", tls_args=(client, None)
    )
    status = request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.3")
    association.release()
    for line in silent:
        line.close()

    assert status == 0x0000


def test_plain_request_to_the_tls_port_ends_in_one_line(
    listening: Listening, contexts: tuple[ssl.SSLContext, ssl.SSLContext], log_lines: list[Any]
) -> None:
    _, port = listening(tls=contexts[0])

    with RawPeer(port) as peer:
        peer.write(association_request())
        peer.read()

    assert [line["reason"] for line in log_lines] == ["tls-handshake-failed"]
