"""Sends results to an archive by STOW-RS, one request for each object and its outcome."""

from collections.abc import Iterator, Sequence
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.send.converted import CONVERSION_ERRORS, converted, own_syntax_of
from dicom_node.send.dicomweb_exchange import DicomwebExchange, Reply, exchange_with
from dicom_node.send.http_outcome import outcome_of_status
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome, outcome_of_failure, unread
from dicom_node.send.stow_answers import StoreAnswer, lists_instance, read_store_answer
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination

_CONFLICT: Final = 409
"""Nothing was stored; the answer gives the reason for each object (PS3.18 10.5.3.2)."""

_UNSUPPORTED_MEDIA_TYPE: Final = 415
_SYNTAX_NOT_SUPPORTED: Final = 0xC122
"""Failure Reason: the transfer syntax is not supported (PS3.18 I.2.2)."""

_PLACE: Final = ("StudyInstanceUID", "SeriesInstanceUID")


class StowSender:
    """A STOW-RS client for one configured archive.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    def complaints(self, item: ObjectToSend) -> Iterator[str]:
        """Yield nothing: an object is sent as it is."""
        yield from ()

    def __init__(
        self, destination: DicomwebDestination, *, tls: TlsSettings = NO_CERTIFICATES
    ) -> None:
        self._destination = destination
        self._tls = tls

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects one by one; see `Sender.send`."""
        with exchange_with(self._destination, self._tls) as exchange:
            for item in objects:
                yield self._store(exchange, item)

    def _store(self, exchange: DicomwebExchange, item: ObjectToSend) -> Answer:
        try:
            header = pydicom.dcmread(item.file, specific_tags=list(_PLACE), stop_before_pixels=True)
            content = _content(item)
        except CONVERSION_ERRORS as error:
            return unread(item, "the result file cannot be read", error)
        reply = exchange.request("POST", "studies", content)
        if _refuses_the_syntax(item, reply):
            try:
                content = converted(item, ExplicitVRLittleEndian)
            except CONVERSION_ERRORS as error:
                return unread(item, "the result file cannot be converted for sending", error)
            reply = exchange.request("POST", "studies", content)
        document = read_store_answer(reply.content, reply.media_type)
        answer = _answer_of(item, reply, document)
        if not _leaves_doubt(reply, document) or answer.outcome is Outcome.ACCEPTED:
            return answer
        if self._holds(exchange, item, header):
            status = f"HTTP {reply.status}, found at the archive"
            return Answer(key=item.key, outcome=Outcome.ACCEPTED, status=status)
        return answer

    def _holds(self, exchange: DicomwebExchange, item: ObjectToSend, header: Dataset) -> bool:
        """Ask the archive whether it holds the object, by QIDO-RS, else by its metadata."""
        study, series = (str(header.get(keyword, "")) for keyword in _PLACE)
        uid = item.sop_instance_uid
        for path in (
            f"studies/{study}/instances?SOPInstanceUID={uid}",
            f"studies/{study}/series/{series}/instances/{uid}/metadata",
        ):
            reply = exchange.request("GET", path)
            if reply.is_success and lists_instance(reply.content, reply.media_type, uid):
                return True
        return False


def _content(item: ObjectToSend) -> bytes:
    if own_syntax_of(item) is None:
        return converted(item, ExplicitVRLittleEndian)
    return item.file.read_bytes()


def _refuses_the_syntax(item: ObjectToSend, reply: Reply) -> bool:
    """Return whether the archive says that it does not take the compression of an object."""
    own = own_syntax_of(item)
    if own is None or not own.is_compressed:
        return False
    if reply.status == _UNSUPPORTED_MEDIA_TYPE:
        return True
    document = read_store_answer(reply.content, reply.media_type)
    reason = None if document is None else document.reason_for(item.sop_instance_uid)
    return reason == _SYNTAX_NOT_SUPPORTED


def _leaves_doubt(reply: Reply, document: StoreAnswer | None) -> bool:
    """Return whether the object may be at the archive, although the answer does not say so."""
    # Archives also answer 409 for an object that they hold already, with reasons of their own
    # (45070 of Azure's), in place of the standard's 0x0111.
    is_about_objects = document is not None and document.says_something
    return reply.is_success or reply.status == _CONFLICT or is_about_objects


def _answer_of(item: ObjectToSend, reply: Reply, document: StoreAnswer | None) -> Answer:
    outcome, status = outcome_of_status(reply.status)
    reason = None if document is None else document.reason_for(item.sop_instance_uid)
    if reason is not None:
        return _failed(item, reply, reason)
    if not reply.is_success:
        return Answer(key=item.key, outcome=outcome, status=status)
    if document is None:
        return _postponed(item, f"{status} without a DICOM answer")
    if item.sop_instance_uid in document.stored:
        return Answer(key=item.key, outcome=outcome, status=status)
    return _postponed(item, f"{status} without the object's UID")


def _failed(item: ObjectToSend, reply: Reply, reason: int) -> Answer:
    """Return the answer for an object that the archive's document says has failed."""
    of_status, status = outcome_of_status(reply.status)
    if not reason:
        return _postponed(item, f"{status}: it says that the object failed, and not why")
    outcome = outcome_of_failure(reason)
    # A server that blames itself, or the credentials, refuses no object for good.
    if outcome is Outcome.REFUSED and of_status is Outcome.POSTPONED:
        return _postponed(item, f"{status}, 0x{reason:04X}")
    return Answer(key=item.key, outcome=outcome, status=f"0x{reason:04X}")


def _postponed(item: ObjectToSend, status: str) -> Answer:
    return Answer(key=item.key, outcome=Outcome.POSTPONED, status=status)
