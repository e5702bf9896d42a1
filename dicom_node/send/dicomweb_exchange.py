"""Requests by HTTP, to DICOMweb archives first of all: bounded, and to nobody but their origin."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import requests

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.send.dicomweb_session import (
    BROKEN_EXCHANGE,
    dicomweb_session,
    read_bounded,
    words_for_failure,
)
from dicom_node.send.http_connection import came_too_early
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import HttpDestination

_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_MOST_REDIRECTS: Final = 3
LONGEST_ANSWER_BYTES: Final = 4 * 2**20
"""Of a whole answer: none of an archive is longer."""

_ACCEPT: Final = {"Accept": "application/dicom+json, application/dicom+xml;q=0.5"}
_JSON: Final = "application/dicom+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the archive answered to one request.

    Attributes
    ----------
    warning, content_location : the headers of these names; empty without them
    came_too_early : whether it began before the whole request was on its way
    """

    status: int
    media_type: str
    content: bytes
    warning: str = ""
    content_location: str = ""
    came_too_early: bool = False

    @classmethod
    def read(cls, response: requests.Response, longest_bytes: int = LONGEST_ANSWER_BYTES) -> Self:
        """Read an answer, of which what is longer is cut; with 0 bytes nothing is waited for."""
        media_type = response.headers.get("Content-Type", "")
        return cls(
            status=response.status_code,
            media_type=media_type.partition(";")[0].strip().lower(),
            content=read_bounded(response, longest_bytes) if longest_bytes else b"",
            warning=response.headers.get("Warning", ""),
            content_location=response.headers.get("Content-Location", ""),
            came_too_early=came_too_early(response),
        )

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300


class DicomwebExchange:
    """Requests to one archive, over connections that a deadline holds."""

    def __init__(
        self, destination: HttpDestination, session: requests.Session, deadline: Deadline
    ) -> None:
        self._destination = destination
        self._root = destination.url.rstrip("/")
        self._session = session
        self._deadline = deadline

    def request(
        self, method: str, path: str, content: bytes | None = None, *, document: bytes | None = None
    ) -> Reply:
        """Send a request, to nobody but the host and port of the settings.

        Parameters
        ----------
        path : below the root of the service
        content : one object to store
        document : a data set in the DICOM JSON model instead

        Raises
        ------
        DestinationDownError
            The archive does not answer, not in time, or before it had the whole object.
        """
        headers, body = dict(_ACCEPT), None
        if content is not None:
            headers["Content-Type"], body = _multipart(content)
        elif document is not None:
            headers["Content-Type"], body = _JSON, document
        reply = self._exchange(method, f"{self._root}/{path}", headers, body)
        # A receiver of messages need not read them; an archive has to have what it has stored.
        if content is not None and reply.is_success and reply.came_too_early:
            raise DestinationDownError(
                f"{self._destination.name}: it answered HTTP {reply.status} before it had the "
                "whole object: this is not believed, and the object is sent again. Tell those who "
                "look after it"
            )
        return reply

    def post(
        self,
        content: bytes,
        headers: Mapping[str, str],
        *,
        longest_answer_bytes: int = LONGEST_ANSWER_BYTES,
    ) -> Reply:
        """Send a message to the address of the settings itself; see `request`.

        Parameters
        ----------
        longest_answer_bytes : 0 where the status alone counts
        """
        url = self._destination.url
        return self._exchange("POST", url, headers, content, longest_answer_bytes)

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        longest_answer_bytes: int = LONGEST_ANSWER_BYTES,
    ) -> Reply:
        late = f"{self._destination.name}: {self._destination.words_for_lateness}"
        try:
            with self._deadline.within(self._destination.longest_seconds(len(body or b""))):
                reply = self._follow(method, url, headers, body, longest_answer_bytes)
        except DestinationDownError as error:
            if self._deadline.passed:
                raise DestinationDownError(late) from error
            raise
        # An answer whose end is that of its connection reads as if it were complete.
        if self._deadline.passed:
            raise DestinationDownError(late)
        return reply

    @contextmanager
    def retrieving(
        self, path: str, accept: str, *, expected_bytes: int, longest_bytes: int
    ) -> Iterator[tuple[int, str, Callable[[], bytes]]]:
        """Send a GET request whose answer is read as it comes; redirections are not followed.

        Parameters
        ----------
        path : below the root of the service
        accept : media types that are wanted
        expected_bytes : by which the longest duration is reckoned
        longest_bytes : beyond it the answer is given up

        Yields
        ------
        int, str, callable
            Status, Content-Type, and what returns the next bytes, none at the end.

        Raises
        ------
        DestinationDownError
            The archive does not answer, not in time, or with too much.
        """
        name = self._destination.name
        longest = self._destination.longest_seconds(expected_bytes)
        with self._deadline.within(longest), self._begun(path, accept) as response:
            chunks = response.iter_content(65_536)
            seen = 0

            def read() -> bytes:
                nonlocal seen
                try:
                    chunk: bytes = next(chunks, b"")
                except BROKEN_EXCHANGE as error:
                    raise DestinationDownError(
                        f"{name} stops in the middle of its answer"
                    ) from error
                seen += len(chunk)
                if seen > longest_bytes:
                    raise DestinationDownError(f"{name} sends more than it was asked for")
                return chunk

            # As it came: the session takes the parameters from its own copy.
            yield response.status_code, response.raw.headers.get("Content-Type", ""), read
        if self._deadline.passed:
            raise DestinationDownError(f"{name}: {self._destination.words_for_lateness}")

    def _begun(self, path: str, accept: str) -> requests.Response:
        url, headers = f"{self._root}/{path}", {"Accept": accept}
        try:
            return self._session.request(
                "GET", url, headers=headers, allow_redirects=False, stream=True
            )
        except BROKEN_EXCHANGE as error:
            raise DestinationDownError(
                f"{self._destination.name} does not answer: {words_for_failure(error)}"
            ) from error

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        longest_answer_bytes: int,
    ) -> Reply:
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                with self._session.request(
                    method,
                    url,
                    data=body,
                    headers=dict(headers),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    if response.status_code not in _REDIRECTS:
                        return Reply.read(response, longest_answer_bytes)
                    url = self._within_origin(url, response.headers.get("Location", ""))
        except BROKEN_EXCHANGE as error:
            raise DestinationDownError(
                f"{self._destination.name} does not answer: {words_for_failure(error)}"
            ) from error
        raise DestinationDownError(
            f"{self._destination.name} redirects without end. Check url under [[destinations]]."
        )

    def _within_origin(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            is_elsewhere = not location or _origin(target) != _origin(self._root)
        except ValueError:
            is_elsewhere = True  # no address at all
        if is_elsewhere:
            raise DestinationDownError(
                f"{self._destination.name} redirects to another server, which is sent nothing. "
                "Set url under [[destinations]] to where the archive is."
            )
        return target


@contextmanager
def exchange_with(
    destination: HttpDestination, tls: TlsSettings = NO_CERTIFICATES
) -> Iterator[DicomwebExchange]:
    """Open an exchange with an archive; its connections end with the block.

    Parameters
    ----------
    tls : certificates of [tls]
    """
    with Deadline() as deadline, dicomweb_session(destination, deadline, tls) as session:
        yield DicomwebExchange(destination, session, deadline)


def _multipart(content: bytes) -> tuple[str, bytes]:
    """Return the media type and body of a request with one object (PS3.18 8.6.1.2)."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    media_type = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    return media_type, head + content + tail


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(scheme)
