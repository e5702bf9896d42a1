"""Association requests: judged within bounds, rejected or answered (PS3.8 9.3.2 and 9.3.3)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from dicom_node.network import MAXIMUM_PDU_BYTES
from dicom_node.receive.upper_layer.pdus import HEADER_BYTES, AbortReason, ProtocolError

MAXIMUM_REQUEST_BYTES: Final = 262_144
"""Largest association request: 128 presentation contexts of every syntax have about 190,000."""

_ITEMS_AT: Final = HEADER_BYTES + 68
_MAXIMUM_CONTEXTS: Final = 128
_MAXIMUM_SYNTAXES: Final = 128
_MAXIMUM_USER_ITEMS: Final = 1024
_APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
_ITEM: Final = struct.Struct(">BxH")
_CONTEXT_ITEM, _SYNTAX_ITEM, _USER_ITEM = 0x20, 0x40, 0x50


@dataclass(frozen=True, slots=True)
class Rejection:
    """Result, source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 table 9-21), with its cause."""

    result: int
    source: int
    diagnostic: int
    cause: str


CALLED_TITLE_UNKNOWN: Final = Rejection(1, 1, 7, "called-ae-title-not-recognized")
CALLING_TITLE_UNKNOWN: Final = Rejection(1, 1, 3, "calling-ae-title-not-recognized")
APPLICATION_CONTEXT_UNKNOWN: Final = Rejection(1, 1, 2, "application-context-not-supported")
VERSION_UNKNOWN: Final = Rejection(1, 2, 2, "protocol-version-not-supported")
NO_PLACE: Final = Rejection(2, 3, 2, "local-limit-exceeded")
DRAINED: Final = Rejection(2, 3, 1, "drained")
"""For a while: senders keep what they have, and try again."""


@dataclass(frozen=True)
class Request:
    """An association request as it came, complete and within MAXIMUM_REQUEST_BYTES."""

    pdu: bytes

    @cached_property
    def called_ae_title(self) -> str:
        """Return the called AE title; what cannot be printed is a question mark."""
        return _title(self.pdu[10:26])

    @cached_property
    def calling_ae_title(self) -> str:
        """Return the calling AE title; what cannot be printed is a question mark."""
        return _title(self.pdu[26:42])

    @property
    def version_is_known(self) -> bool:
        """Whether the peer speaks version 1 of the protocol."""
        return bool(int.from_bytes(self.pdu[6:8], "big") & 1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an association was accepted with.

    Attributes
    ----------
    contexts : dict
        The accepted presentation contexts by their ID, each with its one transfer syntax.
    peer_maximum_bytes : bytes
        Largest PDU content that the peer receives; 0: any.
    reply : bytes
        The A-ASSOCIATE-AC to send.
    """

    contexts: dict[int, PresentationContext]
    peer_maximum_bytes: int
    reply: bytes


def agree(request: Request, supported: Sequence[PresentationContext]) -> Agreement | Rejection:
    """Decode a request and choose its presentation contexts.

    Raises
    ------
    ProtocolError
        The request is malformed, or has more items than one may have.
    """
    if not request.version_is_known:
        return VERSION_UNKNOWN
    _check_items(request.pdu)
    try:
        decoded = A_ASSOCIATE_RQ()
        decoded.decode(request.pdu)
        asked = decoded.to_primitive()
        if asked.application_context_name != _APPLICATION_CONTEXT:
            return APPLICATION_CONTEXT_UNKNOWN
        user = asked.user_information
        roles = {
            item.sop_class_uid: (item.scu_role, item.scp_role)
            for item in user
            if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
        }
        chosen, role_replies = negotiate_as_acceptor(
            asked.presentation_context_definition_list,
            list(supported),
            roles,  # type: ignore[arg-type]  # a UID is set, or decoding had failed
        )
        reply = _accept(asked, chosen, role_replies)
        maximum = [
            i.maximum_length_received for i in user if isinstance(i, MaximumLengthNotification)
        ]
    except Exception as error:  # whatever the library cannot decode is not a request
        raise ProtocolError(
            f"the association request cannot be decoded ({type(error).__name__})",
            AbortReason.INVALID_PARAMETER,
        ) from error
    accepted = {one.context_id: one for one in chosen if one.result == 0 and one.context_id}
    return Agreement(accepted, maximum[0] if maximum else 0, reply)


def _accept(
    asked: A_ASSOCIATE,
    contexts: list[PresentationContext],
    roles: list[SCP_SCU_RoleSelectionNegotiation],
) -> bytes:
    answer = A_ASSOCIATE()
    answer.application_context_name = asked.application_context_name
    answer.calling_ae_title = asked.calling_ae_title
    answer.called_ae_title = asked.called_ae_title
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = contexts
    length = MaximumLengthNotification()
    length.maximum_length_received = MAXIMUM_PDU_BYTES
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
    answer.user_information = [length, implementation, version, *roles]
    return A_ASSOCIATE_AC(answer).encode()


def _check_items(pdu: bytes) -> None:
    """Count the items of a request before the library makes an object of each."""
    contexts = users = 0
    for kind, begin, end in _items(pdu, _ITEMS_AT, len(pdu)):
        if kind == _CONTEXT_ITEM:
            contexts += 1
            inner = sum(1 for _ in _items(pdu, begin + 4, end))
            _require(contexts <= _MAXIMUM_CONTEXTS, "more than 128 presentation contexts")
            _require(inner <= _MAXIMUM_SYNTAXES + 1, "more than 128 transfer syntaxes in a context")
            _require(pdu[begin] % 2 == 1, "an even presentation context ID")
        elif kind == _USER_ITEM:
            users += 1
            inner = sum(1 for _ in _items(pdu, begin, end))
            _require(users == 1, "more than one user information item")
            _require(inner <= _MAXIMUM_USER_ITEMS, "more than 1024 user information sub-items")


def _items(pdu: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
    """Return type, begin and end of the items between two places of a request."""
    found = []
    while at < end:
        _require(end - at >= _ITEM.size, "an item is cut off")
        kind, length = _ITEM.unpack_from(pdu, at)
        at += _ITEM.size
        _require(length <= end - at, "an item is longer than what holds it")
        found.append((kind, at, at + length))
        at += length
    return found


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise ProtocolError(f"the association request has {fault}", AbortReason.INVALID_PARAMETER)


def _title(value: bytes) -> str:
    text = value.decode("ascii", errors="replace").strip(" \0")
    return "".join(one if " " <= one <= "~" else "?" for one in text)
