"""Which request an answer to C-STORE is to; the library takes any message for what it waits for."""

from collections.abc import Set
from typing import Any, Final

from pynetdicom import evt
from pynetdicom.pdu import P_DATA_TF

from dicom_node.send.outcome import ObjectToSend

_C_STORE_RSP: Final = 0x8001
"""Command Field of an answer to C-STORE (PS3.7 Table E.1-1)."""

_LAST_OF_DATA_SET: Final = 0b10
"""Message Control Header of the last fragment of a data set (PS3.8 E.2)."""


class StoreAnswers:
    """Takes note of what passes on an association, request by request.

    The events come from the association's thread, in the order in which things passed.
    """

    def __init__(self) -> None:
        self._request = 0
        self._sent_whole = 0
        self._interrupted = 0
        self._messages: list[Any] = []

    @property
    def handlers(self) -> list[tuple[Any, Any]]:
        """What the association is to be opened with, so that nothing passes unseen."""
        return [(evt.EVT_DIMSE_RECV, self._note), (evt.EVT_PDU_SENT, self._count)]

    def next_request(self) -> int:
        """Return the Message ID of the next request: 1 to 65535."""
        self._request += 1
        if self._messages:
            self._interrupted = self._request
        return self._message_id

    def status_for(self, item: ObjectToSend, contexts: Set[int]) -> int | None:
        """Return the status of the answer to the last request; None if it is no such answer.

        What came besides it, such as a second answer to the request before, leaves it open which
        of them is meant.

        Parameters
        ----------
        contexts : presentation contexts in which the object may have been sent
        """
        messages, self._messages = self._messages, []
        if len(messages) != 1:
            return None
        command = messages[0].command_set
        status = command.get("Status")
        is_of_request = (
            command.get("CommandField") == _C_STORE_RSP
            and messages[0].context_id in contexts
            and command.get("MessageIDBeingRespondedTo") == self._message_id
            # Both are optional in the answer (PS3.7 Table 9.3-2).
            and str(command.get("AffectedSOPClassUID") or item.sop_class_uid) == item.sop_class_uid
            and str(command.get("AffectedSOPInstanceUID") or item.sop_instance_uid)
            == item.sop_instance_uid
        )
        return status if is_of_request and isinstance(status, int) else None

    @property
    def are_unasked_for(self) -> bool:
        """Whether the peer has spoken although no request waits for its answer."""
        return bool(self._messages)

    @property
    def came_too_early(self) -> bool:
        """Whether the peer spoke before it had been sent the whole of the last request."""
        return self._interrupted >= self._request or self._sent_whole < self._request

    @property
    def _message_id(self) -> int:
        return (self._request - 1) % 65535 + 1

    def _note(self, event: evt.Event) -> None:
        if self._sent_whole < self._request:
            self._interrupted = self._request
        self._messages.append(event.message)

    def _count(self, event: evt.Event) -> None:
        if not isinstance(event.pdu, P_DATA_TF):
            return
        connection: Any = event.assoc.dul.socket
        if connection is not None and connection.peer_has_spoken:
            self._interrupted = self._sent_whole + 1
        fragment = event.pdu.presentation_data_value_items[0].presentation_data_value
        if fragment and fragment[0] & 0b11 == _LAST_OF_DATA_SET:
            self._sent_whole += 1
