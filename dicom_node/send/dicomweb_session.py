"""HTTP sessions with DICOMweb archives: credentials, TLS context and time limits."""

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NameResolutionError

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError, SettingsError, chain_of
from dicom_node.name_lookup import connected_to_one_of, look_up
from dicom_node.send.http_connection import ListeningConnection
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination, HttpDestination
from dicom_node.tls import client_context, words_for
from dicom_node.web_requests import OwnAuthoritiesAdapter

BROKEN_EXCHANGE: Final = (requests.RequestException, OSError, ValueError)
"""What the library raises where a request cannot be sent, or an answer breaks off or breaks the
rules; ValueError for the length of a chunk that is below 0, or a header that cannot be written."""


def dicomweb_session(
    destination: HttpDestination,
    deadline: Deadline,
    tls: TlsSettings = NO_CERTIFICATES,
) -> requests.Session:
    """Return a session with an archive; renewed certificates count in each new one.

    Parameters
    ----------
    deadline : held by every connection of the session
        Every request, the reading of its answer too, belongs within it.
    tls : certificates of [tls]

    Raises
    ------
    DestinationDownError
        A certificate is missing or wrong.
    """
    session = _Session()
    if not isinstance(destination, DicomwebDestination) and destination.token is not None:
        session.auth = _Bearer(destination.token.get_secret_value())
    elif destination.username is not None and destination.password is not None:
        # As bytes: the library writes text in Latin-1, and breaks at what that does not have.
        password = destination.password.get_secret_value()
        name = destination.username.encode()  # RFC 7617 2.1
        session.auth = HTTPBasicAuth(name, password.encode())
    context: ssl.SSLContext | None = None
    if destination.url.startswith("https:"):
        try:
            context = client_context(tls.for_peer(destination))
        except SettingsError as error:
            raise DestinationDownError(f"{destination.name}: {error}") from error
    for scheme in ("http://", "https://"):
        session.mount(scheme, _ArchiveAdapter(destination.timeout_seconds, context, deadline))
    return session


class _Bearer(AuthBase):
    """A token; as an object of its own, or the library would prefer what ~/.netrc says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def read_bounded(response: requests.Response, longest_bytes: int) -> bytes:
    """Read the body of an answer, of which more than so many bytes are cut."""
    content = bytearray()
    for chunk in response.iter_content(65536):
        content += chunk
        if len(content) >= longest_bytes:
            break
    return bytes(content[:longest_bytes])


def words_for_failure(error: Exception) -> str:
    """Return in words why an archive did not answer, and what to check."""
    for found in chain_of(error):
        if isinstance(found, ssl.SSLError):
            return (
                f"TLS failed: {words_for(found)}. Check certificates under [[destinations]] and "
                "[tls], and what the archive trusts."
            )
        if isinstance(found, socket.gaierror):
            return f"its name was not found: {found.strerror}. Check url, and DNS."
    return f"{type(error).__name__}. Check that it is running, and url under [[destinations]]."


def _pools_held_to(deadline: Deadline, seconds: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools by scheme, of which the deadline holds every connection, its handshake too."""

    class Connection(ListeningConnection, HTTPConnection):
        def _new_conn(self) -> socket.socket:
            longest = min(seconds, deadline.seconds_left)
            connection = _connected(self, super()._new_conn, longest)
            deadline.guard(connection)
            return connection

    class SecuredConnection(ListeningConnection, HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            longest = min(seconds, deadline.seconds_left)
            connection = _connected(self, super()._new_conn, longest)
            deadline.guard(connection)
            return connection

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecuredPool(HTTPSConnectionPool):
        ConnectionCls = SecuredConnection

    return {"http": Pool, "https": SecuredPool}


def _connected(
    connection: HTTPConnection, connect: Callable[[], socket.socket], seconds: float
) -> socket.socket:
    """Connect by address, so that the library asks no name server; its name stays for TLS."""
    name, timeout = connection.host, connection.timeout

    def connect_to(address: str, share: float) -> socket.socket:
        connection.host, connection.timeout = address, share
        try:
            connected = connect()
        except HTTPError as error:
            raise _NotConnectedError(error) from None
        connected.settimeout(seconds)
        return connected

    give_up_at = time.monotonic() + seconds
    try:
        addresses = look_up(name, seconds)
        return connected_to_one_of(addresses, connect_to, give_up_at - time.monotonic())
    except socket.gaierror as error:
        raise NameResolutionError(name, connection, error) from error
    except _NotConnectedError as error:
        failure = error.failure
    finally:
        connection.host, connection.timeout = name, timeout
    # Not within the handler: two errors of which each is the other's context have no end.
    raise failure


class _NotConnectedError(OSError):
    """What the library raises is no error of the operating system's kind."""

    def __init__(self, failure: HTTPError) -> None:
        super().__init__(str(failure))
        self.failure = failure


class _Session(requests.Session):
    """A session that leaves redirections to whoever asks.

    The library reads the body of one to its end, however long it is, even if told not to follow.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return nothing."""


class _ArchiveAdapter(OwnAuthoritiesAdapter):
    """Sets the destination's timeout and TLS context, and simplifies the answer's media type.

    The library has a fixed timeout, and cannot read an answer whose media type has a parameter,
    such as ``application/dicom+json; charset=utf-8``.
    """

    def __init__(self, seconds: float, context: ssl.SSLContext | None, deadline: Deadline) -> None:
        self._seconds = seconds
        self._deadline = deadline
        super().__init__(context)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the connections end with the deadline."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools_held_to(self._deadline, self._seconds)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the connections through a proxy with the destination's TLS context too."""
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **options)
        manager.pool_classes_by_scheme = _pools_held_to(self._deadline, self._seconds)
        return manager

    def send(  # noqa: PLR0917  the library's own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send within the destination's timeout, with its TLS context and no other authorities.

        The library would add those that its environment variables name.
        """
        response = super().send(request, stream, self._seconds, True, None, proxies)
        media_type = response.headers.get("Content-Type", "")
        response.headers["Content-Type"] = media_type.partition(";")[0].strip().lower()
        return response
