"""Sends results to an archive by STOW-RS, one request for each object and its outcome."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import pydicom
import requests
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.send.dicomweb_session import dicomweb_session, read_bounded, words_for_failure
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome, outcome_of_failure
from dicom_node.send.stow_answers import lists_instance, read_store_answer
from dicom_node.settings.destinations import DicomwebDestination
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings

_CREDENTIALS: Final = frozenset({401, 403, 407})
"""HTTP statuses of wrong or expired credentials, which a person at the site puts right."""

_TRY_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507}) | _CREDENTIALS
"""HTTP statuses of errors that may pass: 507 is a full archive, unlike 413, a too large object."""

_CONFLICT: Final = 409
"""Nothing was stored; the answer gives the reason for each object (PS3.18 10.5.3.2)."""

_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_MOST_REDIRECTS: Final = 3
_LONGEST_ANSWER_BYTES: Final = 4 * 2**20
_PLACE: Final = ("StudyInstanceUID", "SeriesInstanceUID")
_ACCEPT: Final = {"Accept": "application/dicom+json, application/dicom+xml;q=0.5"}


class StowSender:
    """A STOW-RS client for one configured archive.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    def __init__(
        self, destination: DicomwebDestination, *, tls: TlsSettings = NO_CERTIFICATES
    ) -> None:
        self._destination = destination
        self._root = destination.url.rstrip("/")
        self._tls = tls

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects one by one; see `Sender.send`."""
        with (
            Deadline() as deadline,
            dicomweb_session(self._destination, deadline, self._tls) as session,
        ):
            for item in objects:
                yield self._store(_Exchange(session, deadline), item)

    def _store(self, exchange: "_Exchange", item: ObjectToSend) -> Answer:
        try:
            header = pydicom.dcmread(item.file, specific_tags=list(_PLACE), stop_before_pixels=True)
            content = item.file.read_bytes()
        except (OSError, InvalidDicomError) as error:
            status = f"the result file cannot be read: {type(error).__name__}"
            return Answer(key=item.key, outcome=Outcome.REFUSED, status=status)
        reply = self._request(exchange, "POST", f"{self._root}/studies", content)
        answer = _answer_of(item, reply)
        if not reply.leaves_doubt or answer.outcome is Outcome.ACCEPTED:
            return answer
        if self._holds(exchange, item, header):
            status = f"HTTP {reply.status}, found at the archive"
            return Answer(key=item.key, outcome=Outcome.ACCEPTED, status=status)
        return answer

    def _holds(self, exchange: "_Exchange", item: ObjectToSend, header: Dataset) -> bool:
        """Ask the archive whether it holds the object, by QIDO-RS, else by its metadata."""
        study, series = (str(header.get(keyword, "")) for keyword in _PLACE)
        uid = item.sop_instance_uid
        for path in (
            f"studies/{study}/instances?SOPInstanceUID={uid}",
            f"studies/{study}/series/{series}/instances/{uid}/metadata",
        ):
            reply = self._request(exchange, "GET", f"{self._root}/{path}")
            if reply.is_success and lists_instance(reply.content, reply.media_type, uid):
                return True
        return False

    def _request(
        self, exchange: "_Exchange", method: str, url: str, content: bytes | None = None
    ) -> "_Reply":
        """Send a request, to nobody but the host and port of the settings."""
        late = f"{self._destination.name}: {self._destination.words_for_lateness}"
        try:
            with exchange.deadline.within(self._destination.longest_seconds(len(content or b""))):
                reply = self._follow(exchange.session, method, url, content)
        except DestinationDownError as error:
            if exchange.deadline.passed:
                raise DestinationDownError(late) from error
            raise
        # An answer whose end is that of its connection reads as if it were complete.
        if exchange.deadline.passed:
            raise DestinationDownError(late)
        return reply

    def _follow(
        self, session: requests.Session, method: str, url: str, content: bytes | None
    ) -> "_Reply":
        headers, body = dict(_ACCEPT), None
        if content is not None:
            headers["Content-Type"], body = _multipart(content)
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                with session.request(
                    method, url, data=body, headers=headers, allow_redirects=False, stream=True
                ) as response:
                    if response.status_code not in _REDIRECTS:
                        return _Reply.read(response)
                    url = self._within_origin(url, response.headers.get("Location", ""))
        except (requests.RequestException, OSError) as error:
            raise DestinationDownError(
                f"{self._destination.name} does not answer: {words_for_failure(error)}"
            ) from error
        raise DestinationDownError(
            f"{self._destination.name} redirects without end. Check url under [[destinations]]."
        )

    def _within_origin(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        if not location or _origin(target) != _origin(self._root):
            raise DestinationDownError(
                f"{self._destination.name} redirects to another server, which is sent nothing. "
                "Set url under [[destinations]] to where the archive is."
            )
        return target


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A session, and the deadline that holds its connections."""

    session: requests.Session
    deadline: Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What the archive answered to one request."""

    status: int
    media_type: str
    content: bytes

    @classmethod
    def read(cls, response: requests.Response) -> Self:
        """Read an answer, of which a longer one than any archive's is cut."""
        media_type = response.headers.get("Content-Type", "")
        return cls(
            status=response.status_code,
            media_type=media_type.partition(";")[0].strip().lower(),
            content=read_bounded(response, _LONGEST_ANSWER_BYTES),
        )

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def leaves_doubt(self) -> bool:
        """Whether the object may be at the archive, although the answer does not say so."""
        # Archives also answer 409 for an object that they hold already, with reasons of their own
        # (45070 of Azure's), in place of the standard's 0x0111.
        return self.is_success or self.status == _CONFLICT


def _answer_of(item: ObjectToSend, reply: _Reply) -> Answer:
    document = None
    if reply.leaves_doubt:
        document = read_store_answer(reply.content, reply.media_type)
    if document is not None and item.sop_instance_uid in document.failed:
        reason = document.failed[item.sop_instance_uid]
        return Answer(
            key=item.key, outcome=outcome_of_failure(reason), status=f"0x{reason & 0xFFFF:04X}"
        )
    if not reply.is_success:
        outcome = Outcome.POSTPONED if reply.status in _TRY_LATER else Outcome.REFUSED
        status = f"HTTP {reply.status}"
        if reply.status in _CREDENTIALS:
            status += " (check the credentials under [[destinations]])"
        return Answer(key=item.key, outcome=outcome, status=status)
    if document is None:
        return _postponed(item, f"HTTP {reply.status} without a DICOM answer")
    if item.sop_instance_uid in document.stored:
        return Answer(key=item.key, outcome=Outcome.ACCEPTED, status=f"HTTP {reply.status}")
    return _postponed(item, f"HTTP {reply.status} without the object's UID")


def _postponed(item: ObjectToSend, status: str) -> Answer:
    return Answer(key=item.key, outcome=Outcome.POSTPONED, status=status)


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
