"""Makes the TLS contexts of the node by the BCP 195 profile, and completes handshakes.

The *BCP 195 RFC 8996, RFC 9325 TLS Profile* of PS3.15: TLS 1.2 and 1.3 only, forward secrecy and
authenticated encryption only, no renegotiation, no compression, never back to plain connections.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from dicom_node.errors import SettingsError
from dicom_node.settings.tls import TlsSettings

log = structlog.get_logger("dicom_node.tls")

SUITES: Final = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
"""The TLS 1.2 suites, best first (RFC 9325 4.2); those of TLS 1.3 all comply."""

# Level 2 of OpenSSL also refuses keys below 112 bits of strength (RSA 2048) and SHA-1 signatures.
_CIPHERS: Final = ":".join(SUITES) + ":@SECLEVEL=2"
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(tls: TlsSettings, *, asks_for_certificate: bool) -> ssl.SSLContext:
    """Make the context of a port on which the node listens.

    Parameters
    ----------
    asks_for_certificate : bool
        Whether peers must show a certificate of ``tls.certificate_authorities``.

    Raises
    ------
    SettingsError
        A file of [tls] is missing or wrong; the message names its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, tls)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # A session that is taken up again is not checked again; without tickets it ends at the latest
    # with this context, so that a renewed revocation list holds for everyone.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _load_certificate(context, tls)
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_authorities(context, tls)
    return context


class ClientContext(ssl.SSLContext):
    """A context that tells why a connection failed, which the DICOM library does not."""

    failure: str | None = None
    """What went wrong with TLS on the last connection, or None."""


def client_context(tls: TlsSettings) -> ClientContext:
    """Make the context of a connection that the node opens; it checks the name of the peer.

    Raises
    ------
    SettingsError
        A file is missing or wrong; the message names its key.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _RememberingSocket
    # The subject is for people: the name counts in the subject alternative names (RFC 9525).
    context.hostname_checks_common_name = False
    _restrict(context, tls)
    _load_certificate(context, tls)
    if tls.certificate_authorities is None:
        context.load_default_certs()
    _load_authorities(context, tls)
    return context


class RenewingContext:
    """A server's context that is made anew when one of its files changes.

    A renewed certificate, authority or revocation list counts from the next connection on. While
    the files do not fit together, as between two writes, the former context stays in use.

    Raises
    ------
    SettingsError
        A file is missing or wrong when the context is made.
    """

    def __init__(self, tls: TlsSettings, *, asks_for_certificate: bool) -> None:
        self._tls = tls
        self._asks_for_certificate = asks_for_certificate
        self._seen = states_of(tls)
        self._context = server_context(tls, asks_for_certificate=asks_for_certificate)

    def wrap_socket(self, connection: socket.socket, **options: Any) -> ssl.SSLSocket:
        """Return the connection with its handshake still to come, so that nobody else waits."""
        self._renew()
        return self._context.wrap_socket(
            connection, **{**options, "server_side": True, "do_handshake_on_connect": False}
        )

    def _renew(self) -> None:
        states = states_of(self._tls)
        if states == self._seen:
            return
        # Also after a failure, or every connection would try again and write a line.
        self._seen = states
        try:
            self._context = server_context(
                self._tls, asks_for_certificate=self._asks_for_certificate
            )
        except SettingsError as error:
            log.warning("certificates_not_renewed", reason=error.reason, detail=str(error))
        else:
            log.info("certificates_renewed")


def words_for(error: Exception) -> str:
    """Return in words why a handshake or a connection failed, without data of the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or type(error).__name__


def redis_options(tls: TlsSettings) -> dict[str, Any]:
    """Return what redis-py is given for a ``rediss://`` URL; without, kombu checks nothing.

    The library always trusts the authorities of the system too, and reads no revocation lists.
    """
    password = tls.private_key_password
    return {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
        "ssl_min_version": _VERSIONS[tls.minimum_version],
        "ssl_ciphers": _CIPHERS,
        "ssl_ca_certs": _name_of(tls.certificate_authorities),
        "ssl_certfile": _name_of(tls.certificate),
        "ssl_keyfile": _name_of(tls.private_key),
        "ssl_password": None if password is None else password.get_secret_value(),
    }


def amqp_options(tls: TlsSettings, host: str) -> dict[str, Any]:
    """Return what the AMQP library is given for an ``amqps://`` URL; it takes no key's password."""
    return {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": host,
        "tls_minimum_version": _VERSIONS[tls.minimum_version],
        "ciphers": _CIPHERS,
        "ca_certs": _name_of(tls.certificate_authorities),
        "certfile": _name_of(tls.certificate),
        "keyfile": _name_of(tls.private_key),
    }


class _RememberingSocket(ssl.SSLSocket):
    # With TLS 1.3 a peer refuses the node's certificate only after the handshake, at a read.
    # Closed at once: the library shuts a connection down, which fails by then, and leaves it open.

    def connect(self, addr: Any) -> None:
        try:
            super().connect(addr)
        except OSError:
            self.close()
            raise

    def do_handshake(self, block: bool = False) -> None:
        with _remembered(self, OSError, ValueError):
            super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with _remembered(self, ssl.SSLError):
            return super().recv(buflen, flags)


@contextmanager
def _remembered(line: ssl.SSLSocket, *errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        raise
    except errors as error:
        assert isinstance(line.context, ClientContext)
        line.context.failure = words_for(error)
        line.close()
        raise


def _restrict(context: ssl.SSLContext, tls: TlsSettings) -> None:
    context.minimum_version = _VERSIONS[tls.minimum_version]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_certificate(context: ssl.SSLContext, tls: TlsSettings) -> None:
    if tls.certificate is None or tls.private_key is None:
        return
    password = tls.private_key_password
    # Never None: OpenSSL would ask at the terminal for the password of a key that has one.
    secret = "" if password is None else password.get_secret_value()
    _require_readable(("certificate", tls.certificate), ("private_key", tls.private_key))
    try:
        context.load_cert_chain(tls.certificate, tls.private_key, password=secret)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"certificate {tls.certificate} and private_key {tls.private_key} do not serve: "
            f"{words_for(error)}. Check that they belong together, and private_key_password."
        ) from error


def _load_authorities(context: ssl.SSLContext, tls: TlsSettings) -> None:
    for name, path in (
        ("certificate_authorities", tls.certificate_authorities),
        ("revocation_lists", tls.revocation_lists),
    ):
        if path is None:
            continue
        _require_readable((name, path))
        try:
            context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{name} {path} does not serve: {words_for(error)}") from error
    if tls.revocation_lists is not None:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


def _require_readable(*files: tuple[str, Path]) -> None:
    for name, path in files:
        try:
            path.open("rb").close()
        except OSError as error:
            raise SettingsError(f"{name} {path} cannot be read: {error.strerror}") from error


def _name_of(path: Path | None) -> str | None:
    return None if path is None else str(path)


def states_of(tls: TlsSettings) -> Mapping[Path, tuple[int, int, int] | None]:
    """Return what tells whether a certificate, key, authority or revocation list has changed."""
    paths = (
        tls.certificate,
        tls.private_key,
        tls.certificate_authorities,
        tls.revocation_lists,
    )
    return {path: _state_of(path) for path in paths if path is not None}


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
