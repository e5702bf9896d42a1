"""Sends results to an archive by C-STORE, in one association for each delivery."""

import io
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom.status import code_to_category

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.send.c_store_answers import StoreAnswers
from dicom_node.send.converted import CONVERSION_ERRORS, converted, own_syntax_of
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome, outcome_of_failure, unread
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination

_OF_ANOTHER: Final = (
    "its answer to C-STORE is to another message than it was sent (PS3.7 9.3.1.2): nothing "
    "follows from it"
)


class CStoreSender:
    """A storage SCU for one configured archive.

    Parameters
    ----------
    calling_ae_title : AE title
        The node's own, used unless the destination sets one.
    tls : certificates of [tls]
    """

    def complaints(self, item: ObjectToSend) -> Iterator[str]:
        """Yield nothing: an object is sent as it is."""
        yield from ()

    def __init__(
        self,
        destination: DicomDestination,
        *,
        calling_ae_title: str,
        tls: TlsSettings = NO_CERTIFICATES,
    ) -> None:
        self._destination = destination
        self._tls = tls
        self._calling_ae_title = destination.calling_ae_title or calling_ae_title

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects over one association; see `Sender.send`."""
        with Deadline() as deadline:
            answers = StoreAnswers()
            association = self._associate(objects, deadline, answers)
            try:
                for item in objects:
                    yield self._store(association, item, deadline, answers)
            finally:
                with deadline.within(self._destination.timeout_seconds):
                    if association.is_established:
                        association.release()

    def _associate(
        self, objects: Sequence[ObjectToSend], deadline: Deadline, answers: StoreAnswers
    ) -> Any:
        contexts = {
            (item.sop_class_uid, syntax) for item in objects for syntax in _syntaxes_of(item)
        }
        return associate(
            self._destination,
            self._calling_ae_title,
            contexts,
            deadline=deadline,
            tls=self._tls,
            handlers=answers.handlers,
        )

    def _store(
        self, association: Any, item: ObjectToSend, deadline: Deadline, answers: StoreAnswers
    ) -> Answer:
        accepted = {
            str(context.transfer_syntax[0])
            for context in association.accepted_contexts
            if context.abstract_syntax == item.sop_class_uid
        }
        name = UID(item.sop_class_uid).name
        if not accepted:
            return _refused(item, f"the destination does not accept {name}")
        try:
            content = _content(item, accepted)
        except CONVERSION_ERRORS as error:
            return unread(item, f"{name} cannot be read or converted for sending", error)
        if content is None:
            names = ", ".join(sorted(UID(syntax).name for syntax in accepted))
            return _refused(item, f"the destination accepts {name} only in {names}")
        if answers.are_unasked_for:
            raise self._given_up(association, deadline, _OF_ANOTHER)
        seconds = self._destination.longest_seconds(_size_of(item))
        try:
            with deadline.within(seconds):
                response = association.send_c_store(content, msg_id=answers.next_request())
        except (OSError, InvalidDicomError, ValueError, AttributeError) as error:
            return unread(item, "the result file cannot be sent", error)
        except RuntimeError as error:
            raise DestinationDownError(
                "the association ended before every object was sent"
            ) from error
        if "Status" not in response:
            if deadline.passed:
                raise DestinationDownError(
                    f"{self._destination.name}: {self._destination.words_for_lateness}"
                )
            raise DestinationDownError("the association ended without an answer to C-STORE")
        contexts = {
            context.context_id
            for context in association.accepted_contexts
            if context.abstract_syntax == item.sop_class_uid
        }
        code = answers.status_for(item, contexts)
        if code is None:
            raise self._given_up(association, deadline, _OF_ANOTHER)
        # A refusal may come at any time; what it does not have, an archive cannot have stored.
        if answers.came_too_early and _is_stored(code):
            raise self._given_up(
                association,
                deadline,
                f"it answered 0x{code:04X} to C-STORE before it had the whole object: this is "
                "not believed, and the object is sent again. Tell those who look after it",
            )
        return _answer(item, code)

    def _given_up(self, association: Any, deadline: Deadline, what: str) -> DestinationDownError:
        """End the association at once: nobody knows what its next message would be about."""
        with deadline.within(self._destination.timeout_seconds):
            association.abort()
        return DestinationDownError(f"{self._destination.name}: {what}")


def _size_of(item: ObjectToSend) -> int:
    try:
        return item.file.stat().st_size
    except OSError:
        return 0  # reported when it is read


def _syntaxes_of(item: ObjectToSend) -> Iterator[str]:
    """Yield the transfer syntaxes in which an object can be sent."""
    yield from UNCOMPRESSED
    # A file that cannot be read is reported when this object is sent.
    with suppress(OSError, InvalidDicomError, AttributeError):
        own = own_syntax_of(item)
        if own is not None:
            yield str(own)


def _content(item: ObjectToSend, accepted: Set[str]) -> Path | Dataset | None:
    """Return the file if its transfer syntax was accepted, else the object converted, or None."""
    if own_syntax_of(item) in accepted:
        # By its path: the file is sent unchanged, without decoding and encoding it again.
        return item.file
    target = next((syntax for syntax in UNCOMPRESSED if syntax in accepted), None)
    if target is None:
        return None
    return pydicom.dcmread(io.BytesIO(converted(item, target)))


def _answer(item: ObjectToSend, status: int) -> Answer:
    text = f"0x{status:04X}"
    if _is_stored(status):
        return Answer(key=item.key, outcome=Outcome.ACCEPTED, status=text)
    return Answer(key=item.key, outcome=outcome_of_failure(status), status=text)


def _is_stored(status: int) -> bool:
    return code_to_category(status) in {"Success", "Warning"}


def _refused(item: ObjectToSend, status: str) -> Answer:
    return Answer(key=item.key, outcome=Outcome.REFUSED, status=status)
