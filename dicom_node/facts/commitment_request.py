"""What a request for storage commitment asks, read from its data set (PS3.4 J.3.2.1.1)."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from dicom_node.facts.uid_text import is_taken_for_uid
from dicom_node.spool.messages.sender_requests import SenderRequest

_TRANSACTION_UID: Final = 0x0008_1195
_SOP_CLASS_UID: Final = 0x0008_1150
_SOP_INSTANCE_UID: Final = 0x0008_1155


@dataclass(frozen=True, slots=True)
class Reference:
    """One SOP Instance that a sender asks about."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for storage commitment."""

    transaction_uid: str
    calling_ae_title: str
    called_ae_title: str
    references: tuple[Reference, ...]


def asked_in(request: SenderRequest) -> Asked | None:
    """Read a request; None if there is nothing to report on, or no way to name it in a report."""
    syntax = UID(request.transfer_syntax)
    stream = BytesIO(request.content)
    try:
        dataset = read_dataset(stream, syntax.is_implicit_VR, syntax.is_little_endian)
        transaction = _uid(dataset, _TRANSACTION_UID)
        references = tuple(
            Reference(_uid(item, _SOP_CLASS_UID), _uid(item, _SOP_INSTANCE_UID))
            for item in dataset.ReferencedSOPSequence
        )
    except Exception:  # noqa: BLE001  bytes from the network can make the library raise any error
        return None
    if not references:
        return None
    return Asked(
        transaction_uid=transaction,
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        references=references,
    )


def _uid(dataset: Dataset, tag: int) -> str:
    # As it came: the library warns of values that are not to the letter.
    element: Any = dataset.get_item(tag)
    text = str(element.value.decode("ascii")).strip("\0 ")
    if not is_taken_for_uid(text):
        raise ValueError("no UID")
    return text
