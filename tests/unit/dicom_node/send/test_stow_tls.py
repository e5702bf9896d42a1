"""STOW-RS over TLS: whose archive is sent to, and by whom."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from certificates import Authority, Certificate

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.send.dicomweb_session import dicomweb_session
from dicom_node.send.outcome import ObjectToSend, Outcome
from dicom_node.send.stow_rs import StowSender
from dicom_node.settings.tls import TlsSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination
from dicom_node.tls import server_context

MakeObject = Callable[..., ObjectToSend]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Certificate:
    return authority.issue("node")


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A peer that breaks off the handshake is what the tests are about."""


@pytest.fixture
def archive_with() -> Iterator[Callable[..., int]]:
    """Start an archive with a TLS context, or plain; return its port."""
    servers: list[_Quiet] = []

    def start(context: ssl.SSLContext | None, redirect: str | None = None) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(307 if redirect else 503)
                if redirect:
                    self.send_header("Location", redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = _Quiet(("127.0.0.1", 0), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sent(port: int, tls: TlsSettings, item: ObjectToSend, scheme: str = "https") -> str:
    """Send an object; return what is said of a failure, or the status of the answer."""
    url = f"{scheme}://localhost:{port}/dicom-web"
    archive = DicomwebDestination(kind="dicomweb", name="web", url=url, timeout_seconds=5)
    try:
        (answer,) = StowSender(archive, tls=tls).send([item])
    except DestinationDownError as error:
        return str(error)
    assert answer.outcome is Outcome.POSTPONED
    return answer.status


def test_archive_is_sent_to_over_tls_with_the_nodes_certificate(
    archive_with: Any, authority: Authority, node: Certificate, result_object: MakeObject
) -> None:
    tls = authority.settings(node)
    port = archive_with(server_context(tls, asks_for_certificate=True))

    assert sent(port, tls, result_object()) == "HTTP 503"


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"days": -1}, "certificate has expired"),
        ({"san": "DNS:elsewhere"}, "Hostname mismatch"),
        ({"san": ""}, "Hostname mismatch"),
    ],
)
def test_archive_with_a_wrong_certificate_is_not_sent_to(
    archive_with: Any,
    authority: Authority,
    result_object: MakeObject,
    how: dict[str, Any],
    told: str,
) -> None:
    shown = authority.settings(authority.issue("localhost", **how))
    port = archive_with(server_context(shown, asks_for_certificate=False))

    said = sent(port, authority.settings(), result_object())

    assert f"TLS failed: certificate refused: {told}" in said


def test_authority_of_another_archive_is_not_trusted(
    archive_with: Any,
    authority: Authority,
    result_object: MakeObject,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Authority(tmp_path / "other", "Another Authority")
    port = archive_with(server_context(other.settings(other.issue("localhost")),
                                       asks_for_certificate=False))  # fmt: skip
    # What the HTTP library would trust besides, by its own variable.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.file))

    assert "unable to get local issuer" in sent(port, authority.settings(), result_object())


def test_revoked_archive_is_not_sent_to(
    archive_with: Any, authority: Authority, node: Certificate, result_object: MakeObject
) -> None:
    revoked = authority.issue("localhost")
    authority.revoke(revoked)
    port = archive_with(server_context(authority.settings(revoked), asks_for_certificate=False))
    tls = authority.settings(node, revocation_lists=authority.revocation_list())

    assert "certificate revoked" in sent(port, tls, result_object())


def test_old_version_is_not_spoken(
    archive_with: Any, authority: Authority, node: Certificate, result_object: MakeObject
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(node.file, node.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    port = archive_with(context)

    assert "TLS failed" in sent(port, authority.settings(node), result_object())


def test_archive_that_refuses_the_node_is_told_as_such(
    archive_with: Any, authority: Authority, node: Certificate, result_object: MakeObject
) -> None:
    port = archive_with(server_context(authority.settings(node), asks_for_certificate=True))

    told = sent(port, authority.settings(), result_object())

    assert "does not answer" in told


def test_patient_data_is_not_redirected(
    archive_with: Any, authority: Authority, node: Certificate, result_object: MakeObject
) -> None:
    plain = archive_with(None)
    tls = authority.settings(node)
    port = archive_with(
        server_context(tls, asks_for_certificate=False),
        redirect=f"http://localhost:{plain}/studies",
    )

    assert "redirects to another server" in sent(port, tls, result_object())


def test_missing_certificate_postpones_the_delivery(result_object: MakeObject) -> None:
    tls = TlsSettings(certificate_authorities="/absent.crt")

    assert "certificate_authorities /absent.crt cannot be read" in sent(1, tls, result_object())


def test_plain_archive_needs_no_certificates(archive_with: Any, result_object: MakeObject) -> None:
    tls = TlsSettings(certificate_authorities="/absent.crt")

    assert sent(archive_with(None), tls, result_object(), "http") == "HTTP 503"


def test_context_of_a_session_trusts_the_settings_alone(
    archive_with: Any, authority: Authority, node: Certificate
) -> None:
    tls = authority.settings(node)
    port = archive_with(server_context(tls, asks_for_certificate=False))
    archive = DicomwebDestination(kind="dicomweb", name="web", url=f"https://localhost:{port}")

    with (
        Deadline() as deadline,
        dicomweb_session(archive, deadline, tls) as session,
        suppress(OSError),
    ):
        session.get(archive.url)
        (context,) = {session.get_adapter("https://x")._context}  # type: ignore[attr-defined]

    assert len(context.get_ca_certs()) == 1
