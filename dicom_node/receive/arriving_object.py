"""What the node writes in front of each object that it takes, whichever way it comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES
from pynetdicom.dsutils import create_file_meta, encode_file_meta

from dicom_node.errors import (
    InvalidInstanceError,
    MismatchedStudyError,
    MistypedRequestError,
    NodeError,
    OutOfResourcesError,
    UnacceptedClassError,
    UnacceptedSyntaxError,
    UnreadableFileError,
)
from dicom_node.facts.file_meta import FileMeta
from dicom_node.facts.presentation_address import presentation_address
from dicom_node.facts.priority import Priority, write_priority
from dicom_node.facts.storage_classes import ACCEPTED_CLASSES
from dicom_node.facts.uid_text import is_taken_for_uid

STATUS_OF: Final[Mapping[type[NodeError], int]] = {
    OutOfResourcesError: 0xA700,
    InvalidInstanceError: 0x0117,
    MistypedRequestError: 0x0212,
    UnacceptedClassError: 0x0122,
    UnacceptedSyntaxError: 0xC122,
    MismatchedStudyError: 0xA900,
    UnreadableFileError: 0xC000,
}
"""Failure status for each reason to refuse an object (PS3.4 B.2.3, PS3.7 C.5, PS3.18 I.2.2)."""

# Our own preamble, whatever a sender's file begins with: a file in the spool is never a program.
_PREAMBLE: Final = b"\x00" * 128 + b"DICM"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivingObject:
    """What is said of an object before its data set: in a request, or in a file.

    Attributes
    ----------
    address : IP address from which it came; empty for what the node fetched or found on a disk
    priority : how urgent its study is, decided by whoever brings it; None: the settings and the
        image decide
    is_prior : whether it is of a former examination, fetched for comparison
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    address: str = ""
    priority: Priority | None = None
    is_prior: bool = False


def arriving_from(
    meta: FileMeta,
    calling_ae_title: str,
    called_ae_title: str,
    priority: Priority | None = None,
    *,
    address: str = "",
    is_prior: bool = False,
) -> ArrivingObject:
    """Return what a file says of its object."""
    return ArrivingObject(
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        address=address,
        priority=priority,
        is_prior=is_prior,
    )


def file_beginning(arriving: ArrivingObject) -> list[bytes]:
    """Return preamble and file meta information, behind which the data set follows as it comes.

    Raises
    ------
    InvalidInstanceError
        The SOP Instance UID is missing, too long, or no text.
    """
    instance = arriving.sop_instance_uid
    if not is_taken_for_uid(instance):
        raise InvalidInstanceError(
            f"the SOP Instance UID has {len(instance)} characters, or such as no UID has"
        )
    meta: FileMetaDataset = create_file_meta(
        sop_class_uid=UID(arriving.sop_class_uid),
        sop_instance_uid=UID(instance),
        transfer_syntax=UID(arriving.transfer_syntax_uid),
    )
    meta.SendingApplicationEntityTitle = arriving.calling_ae_title
    meta.ReceivingApplicationEntityTitle = arriving.called_ae_title
    if arriving.address:
        meta.SourcePresentationAddress = presentation_address(arriving.address)
    write_priority(meta, arriving.priority, is_prior=arriving.is_prior)
    return [_PREAMBLE, encode_file_meta(meta)]


def require_acceptable(meta: FileMeta) -> None:
    """Refuse a file that no association could bring, since its kind is never negotiated.

    Raises
    ------
    UnacceptedClassError, UnacceptedSyntaxError
    """
    if meta.sop_class_uid not in ACCEPTED_CLASSES:
        name = UID(meta.sop_class_uid).name
        known = name if name != meta.sop_class_uid else "what has an unknown SOP Class"
        raise UnacceptedClassError(f"{known} is not taken: no study of mammograms holds it")
    if meta.transfer_syntax_uid not in ALL_TRANSFER_SYNTAXES:
        raise UnacceptedSyntaxError("its transfer syntax is none of the standard's (PS3.5)")
