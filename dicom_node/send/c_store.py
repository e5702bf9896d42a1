"""Results to an archive by C-STORE, one association a delivery."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.status import code_to_category

from dicom_node.errors import DestinationDownError
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome, outcome_of_failure
from dicom_node.settings.settings import DicomDestination

_MAXIMUM_PDU_BYTES: Final = 131_072


class CStoreSender:
    """A storage SCU for one configured archive.

    Parameters
    ----------
    calling_ae_title : AE title
        The node's own, where the destination sets none.
    """

    def __init__(self, destination: DicomDestination, *, calling_ae_title: str) -> None:
        self._destination = destination
        self._calling_ae_title = destination.calling_ae_title or calling_ae_title

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects over one association; see `Sender.send`."""
        association = self._associate(objects)
        try:
            for item in objects:
                yield self._store(association, item)
        finally:
            if association.is_established:
                association.release()

    def _associate(self, objects: Sequence[ObjectToSend]) -> Any:
        destination = self._destination
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE(ae_title=self._calling_ae_title)
        entity.connection_timeout = destination.timeout_seconds
        entity.acse_timeout = destination.timeout_seconds
        entity.dimse_timeout = destination.timeout_seconds
        entity.network_timeout = destination.timeout_seconds
        for sop_class in sorted({item.sop_class_uid for item in objects}):
            entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
        association = entity.associate(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            max_pdu=_MAXIMUM_PDU_BYTES,
        )
        # With no context accepted the library aborts what the archive had agreed to: each object
        # is then answered by `_store`, and nobody tries for days.
        if association.is_established or association.rejected_contexts:
            return association
        if association.is_rejected:
            raise DestinationDownError("the destination rejected the association")
        raise DestinationDownError("no association: the destination does not answer")

    def _store(self, association: Any, item: ObjectToSend) -> Answer:
        if not any(
            context.abstract_syntax == item.sop_class_uid
            for context in association.accepted_contexts
        ):
            return _refused(item, "the destination does not take this SOP Class")
        try:
            # By its path: the file goes out as it lies there, never decoded and encoded again.
            response = association.send_c_store(item.file)
        except (OSError, InvalidDicomError) as error:
            return _refused(item, f"the result file cannot be read: {type(error).__name__}")
        except RuntimeError as error:
            raise DestinationDownError("the association ended before all was sent") from error
        if "Status" not in response:
            raise DestinationDownError("the association ended without an answer")
        return _answer(item, int(response.Status))


def _answer(item: ObjectToSend, status: int) -> Answer:
    category = code_to_category(status)
    text = f"0x{status:04X}"
    if category in {"Success", "Warning"}:
        return Answer(key=item.key, outcome=Outcome.DELIVERED, status=text)
    return Answer(key=item.key, outcome=outcome_of_failure(status), status=text)


def _refused(item: ObjectToSend, status: str) -> Answer:
    return Answer(key=item.key, outcome=Outcome.REFUSED, status=status)
