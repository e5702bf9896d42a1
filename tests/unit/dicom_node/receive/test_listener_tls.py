"""The listener over TLS: which peers it lets in, and that none of them holds up another."""

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate
from listener_factory import Listening, associated, store
from node_factory import encoded, mammogram
from services import wait_for

from dicom_node.tls import client_context

# The library leaves a connection open to the garbage collector that its peer has closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="session")
def scanner(authority: Authority) -> Certificate:
    return authority.issue("SCANNER", san="DNS:scanner")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Authority(tmp_path_factory.mktemp("stranger"), "Another Authority").issue("SCANNER")


@pytest.fixture
def secured(listening: Listening, authority: Authority, node_certificate: Certificate) -> Any:
    """Start a listener with the node's certificate."""

    def start(revocation_lists: Any = None, **options: Any) -> int:
        tls = authority.settings(node_certificate, revocation_lists=revocation_lists)
        _, port = listening(tls_settings=tls, **options)
        return port

    return start


def tls_args(authority: Authority, certificate: Certificate | None) -> tuple[ssl.SSLContext, str]:
    return client_context(authority.settings(certificate)), "localhost"


def is_let_in(port: int, authority: Authority, certificate: Certificate | None) -> bool:
    with associated(port, tls_args=tls_args(authority, certificate)) as association:
        return association.is_established


def failures(log_lines: list[Any]) -> list[str]:
    return [line["detail"] for line in log_lines if line["event"] == "connection_ended"]


def test_object_is_received_over_tls(
    secured: Any, authority: Authority, scanner: Certificate
) -> None:
    port = secured()

    assert store(port, encoded(mammogram()), tls_args=tls_args(authority, scanner)) == 0x0000


def test_peer_without_a_certificate_is_refused(
    secured: Any, authority: Authority, log_lines: list[Any]
) -> None:
    port = secured()

    assert not is_let_in(port, authority, None)

    wait_for(lambda: failures(log_lines), seconds=10, what="the refusal is told")
    assert failures(log_lines) == ["peer did not return a certificate"]


def test_peer_without_a_certificate_is_let_in_where_none_is_required(
    secured: Any, authority: Authority
) -> None:
    assert is_let_in(secured(require_client_certificate=False), authority, None)


def test_certificate_of_another_authority_is_refused(
    secured: Any, authority: Authority, stranger: Certificate, log_lines: list[Any]
) -> None:
    assert not is_let_in(secured(), authority, stranger)

    wait_for(lambda: failures(log_lines), seconds=10, what="the refusal is told")
    assert failures(log_lines)[0].startswith("certificate refused: unable to get local issuer")


# A DNS name, and a URI, of bytes that are not UTF-8.
@pytest.mark.parametrize("san", ["DER:30:03:82:01:E9", "DER:30:04:86:02:C3:28"])
def test_certificate_whose_names_cannot_be_read_costs_its_own_connection(
    secured: Any, authority: Authority, scanner: Certificate, san: str
) -> None:
    port = secured()
    odd = authority.issue("SCANNER", san=san)

    for _ in range(3):
        is_let_in(port, authority, odd)

    assert is_let_in(port, authority, scanner)


def test_expired_certificate_is_refused(
    secured: Any, authority: Authority, log_lines: list[Any]
) -> None:
    assert not is_let_in(secured(), authority, authority.issue("SCANNER", days=-1))

    wait_for(lambda: failures(log_lines), seconds=10, what="the refusal is told")
    assert failures(log_lines) == ["certificate refused: certificate has expired"]


def test_revoked_certificate_is_refused(
    secured: Any, authority: Authority, scanner: Certificate, log_lines: list[Any]
) -> None:
    lost = authority.issue("SCANNER")
    authority.revoke(lost)
    port = secured(revocation_lists=authority.revocation_list())

    assert is_let_in(port, authority, scanner)
    assert not is_let_in(port, authority, lost)

    wait_for(lambda: failures(log_lines), seconds=10, what="the refusal is told")
    assert failures(log_lines) == ["certificate refused: certificate revoked"]


def test_silent_client_in_the_handshake_holds_up_nobody(
    secured: Any, authority: Authority, scanner: Certificate
) -> None:
    port = secured(maximum_associations=1)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(25)]
    try:
        silent[0].sendall(b"\x16\x03\x01")

        assert store(port, encoded(mammogram()), tls_args=tls_args(authority, scanner)) == 0x0000
        # They are still in the handshake: nothing was sent to them, and nothing closed them.
        silent[0].settimeout(0.01)
        with pytest.raises(TimeoutError):
            silent[0].recv(1)
    finally:
        for line in silent:
            line.close()


def test_silent_client_in_the_handshake_is_cut_off(secured: Any, log_lines: list[Any]) -> None:
    port = secured(request_timeout_seconds=0.2)

    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        assert line.recv(16) == b""

    assert failures(log_lines) == ["no association request, 0 bytes of one"]


def test_plain_association_on_the_tls_port_is_refused(secured: Any, log_lines: list[Any]) -> None:
    port = secured()

    with associated(port) as association:
        assert not association.is_established

    wait_for(lambda: failures(log_lines), seconds=10, what="the refusal is told")
    assert failures(log_lines) == ["wrong version number"]


def test_tls_on_the_plain_port_is_refused(
    listening: Listening, authority: Authority, scanner: Certificate
) -> None:
    _, port = listening()
    hello = ssl.MemoryBIO()
    client = client_context(authority.settings(scanner)).wrap_bio(
        ssl.MemoryBIO(), hello, server_hostname="localhost"
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()

    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(hello.read())

        assert line.recv(64)[:1] in {b"", b"\x07"}  # closed, or an A-ABORT
    assert store(port, encoded(mammogram())) == 0x0000


def test_session_ends_with_a_new_revocation_list(
    secured: Any, authority: Authority, scanner: Certificate
) -> None:
    context = client_context(authority.settings(scanner))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = secured(revocation_lists=authority.revocation_list("session.crl"))
    with tls_line(port, context) as first:
        session = first.session

    authority.revocation_list("session.crl")

    with tls_line(port, context, session=session) as second:
        assert not second.session_reused


def test_renewed_certificate_counts_without_a_restart(
    listening: Listening, authority: Authority, scanner: Certificate, tmp_path: Path
) -> None:
    file, key = tmp_path / "node.crt", tmp_path / "node.key"
    former = authority.issue("node")
    file.write_bytes(former.file.read_bytes())
    key.write_bytes(former.key.read_bytes())
    tls = authority.settings(Certificate(file, key))
    _, port = listening(tls_settings=tls)
    assert shown_certificate(port, authority, scanner) == der_of(former)
    renewed = authority.issue("node")

    key.write_bytes(renewed.key.read_bytes())
    assert shown_certificate(port, authority, scanner) == der_of(former)  # the halves do not fit
    file.write_bytes(renewed.file.read_bytes())

    assert shown_certificate(port, authority, scanner) == der_of(renewed)


def test_new_revocation_counts_without_a_restart(
    secured: Any, authority: Authority, log_lines: list[Any]
) -> None:
    lost = authority.issue("SCANNER")
    port = secured(revocation_lists=authority.revocation_list("renewed.crl"))
    assert is_let_in(port, authority, lost)

    authority.revoke(lost)
    authority.revocation_list("renewed.crl")

    assert not is_let_in(port, authority, lost)


def test_many_broken_handshakes_leave_no_thread_behind(
    secured: Any, authority: Authority, scanner: Certificate
) -> None:
    port = secured()
    before = threading.active_count()
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(b"GET / HTTP/1.1\r\n\r\n")

    assert store(port, encoded(mammogram()), tls_args=tls_args(authority, scanner)) == 0x0000
    wait_for(
        lambda: threading.active_count() <= before + 1, seconds=30, what="the threads have ended"
    )


@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=pytest.mark.long)])
def test_flood_of_handshakes_shuts_nobody_out(
    secured: Any, authority: Authority, scanner: Certificate, count: int
) -> None:
    port = secured()
    context = client_context(authority.settings(scanner))
    left = iter(range(count))

    def shake_hands() -> None:
        for _ in left:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as line:
                context.wrap_socket(line, server_hostname="localhost").close()

    before = threading.active_count()
    with ThreadPoolExecutor(max_workers=8) as pool:
        flood = [pool.submit(shake_hands) for _ in range(8)]
        while not all(one.done() for one in flood):
            assert store(port, encoded(mammogram()), tls_args=tls_args(authority, scanner)) == 0
    wait_for(lambda: threading.active_count() <= before, seconds=30, what="all threads have ended")


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ({}, "subject"),
        ({"senders": [{"ae_title": "SCANNER", "certificate_name": "scanner"}]}, "san"),
    ],
)
def test_title_that_the_certificate_holds_is_let_in(
    secured: Any, authority: Authority, scanner: Certificate, rule: dict[str, Any], where: str
) -> None:
    assert is_let_in(secured(certificate_names=where, **rule), authority, scanner)


@pytest.mark.parametrize("where", ["subject", "san"])
def test_title_of_another_certificate_is_rejected(
    secured: Any, authority: Authority, where: str, log_lines: list[Any]
) -> None:
    other = authority.issue("ROOM2", san="DNS:room2")
    port = secured(certificate_names=where)

    with associated(port, tls_args=tls_args(authority, other)) as association:
        answer = association.acceptor.primitive

    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 3)
    assert reasons(log_lines) == ["certificate-names-another-ae-title"]


def reasons(log_lines: list[Any]) -> list[str]:
    return [line["reason"] for line in log_lines if line["event"] == "association_rejected"]


def shown_certificate(port: int, authority: Authority, certificate: Certificate) -> bytes | None:
    with tls_line(port, client_context(authority.settings(certificate))) as line:
        return line.getpeercert(binary_form=True)


@contextmanager
def tls_line(port: int, context: ssl.SSLContext, **options: Any) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as line,
        context.wrap_socket(line, server_hostname="localhost", **options) as secured,
    ):
        yield secured


def der_of(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.file.read_text())
