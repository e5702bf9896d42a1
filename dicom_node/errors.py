"""All errors that the node raises, in one tree.

NodeError
├── SettingsError                   the settings are wrong: the message lists every mistake
├── AddressError                    the node cannot listen on the configured address
├── RefusedError                    answered with a failure status; nothing of the object is kept
│   ├── OutOfResourcesError             too little disk space, or object too large; may pass
│   ├── InvalidInstanceError            the request's SOP Instance UID is none
│   ├── MistypedRequestError            the request has no data set, or another SOP Class
│   ├── UnacceptedClassError            the node takes no objects of this SOP Class
│   ├── UnacceptedSyntaxError           the transfer syntax is not one of the standard's
│   ├── MismatchedStudyError            the object is of another study than the one announced
│   └── UnreadableFileError             the bytes are no DICOM file (PS3.10)
├── SetAsideError                   the object is kept with its reason, but not analysed
├── ObjectRefusedError              a valid result object cannot be made from the sources
├── RenderError                     a study on disk cannot be rendered into result objects
├── LedgerError
│   ├── ForbiddenTransitionError        the event is not allowed in the present state
│   ├── OtherSchemaError                the ledger has the schema of another release
│   ├── OvertakenError                  another process changed the row first: read it again
│   ├── UnknownStudyError               the ledger has no study with this UID
│   └── RemovedError                    the files that this would need were removed
├── BrokerDownError                 the broker did not accept a message; nothing is lost
└── DeliveryError
    ├── DestinationDownError            the destination did not answer; retried later
    └── NotOfferedError                 the destination does not offer the service
"""

from collections.abc import Iterator
from typing import ClassVar


class NodeError(Exception):
    """Base of all errors of the node; `reason` is a stable word for ledger, logs and metrics."""

    reason: ClassVar[str] = "node-error"


class SettingsError(NodeError):
    """The settings are wrong; the message lists every mistake with its key."""

    reason = "settings"


class AddressError(NodeError):
    """The address is not one of this machine, or the port is in use or privileged."""

    reason = "address"


class RefusedError(NodeError):
    """An object is answered with a failure status, and nothing of it is kept."""

    reason = "refused"


class OutOfResourcesError(RefusedError):
    """The disk has too little free space or cannot be written, or the object is too large."""

    reason = "out-of-resources"


class InvalidInstanceError(RefusedError):
    """The SOP Instance UID of the request is missing, too long, or no text."""

    reason = "invalid-sop-instance-uid"


class MistypedRequestError(RefusedError):
    """The request has no data set, or its SOP Class is not that of its presentation context."""

    reason = "mistyped-request"


class UnacceptedClassError(RefusedError):
    """The node takes no objects of this SOP Class; a C-STORE cannot even propose it."""

    reason = "sop-class-not-accepted"


class UnacceptedSyntaxError(RefusedError):
    """The data set is encoded in no transfer syntax of the standard."""

    reason = "transfer-syntax-not-accepted"


class MismatchedStudyError(RefusedError):
    """The object is of another study, or of none, than whoever brings it says."""

    reason = "mismatched-study"


class UnreadableFileError(RefusedError):
    """The bytes are no DICOM file with preamble and file meta information (PS3.10 7.1)."""

    reason = "no-dicom-file"


class SetAsideError(NodeError):
    """The object is kept, but not analysed.

    Parameters
    ----------
    reason_word : stable word for the ledger, for example ``unreadable-object``
    message : str
        What is wrong with the object, without patient data.
    """

    reason = "set-aside"

    def __init__(self, reason_word: str, message: str) -> None:
        super().__init__(message)
        self.reason_word = reason_word


class ObjectRefusedError(NodeError):
    """No valid result object can be made from these sources; the message names the attribute."""

    reason = "object-refused"


class RenderError(NodeError):
    """A study on disk cannot be rendered; the message says what is missing or wrong."""

    reason = "render"


class LedgerError(NodeError):
    """The ledger cannot be reached, lacks the entry, or does not allow the step."""

    reason = "ledger"


class ForbiddenTransitionError(LedgerError):
    """The event is not allowed in the present state: a bug, or a command that came too late."""

    reason = "forbidden-transition"


class OvertakenError(LedgerError):
    """Another process changed the row since it was read."""

    reason = "overtaken"


class UnknownStudyError(LedgerError):
    """The ledger has no study with this Study Instance UID."""

    reason = "unknown-study"


class RemovedError(LedgerError):
    """Files of the study were removed after their time; its rows are still there."""

    reason = "removed"


class BrokerDownError(NodeError):
    """The broker did not accept a message. Nothing is lost: the ledger lists what is due."""

    reason = "broker-down"


class DeliveryError(NodeError):
    """A destination did not accept a result object."""

    reason = "delivery"


class DestinationDownError(DeliveryError):
    """The destination could not be reached, or stopped answering."""

    reason = "destination-down"


class NotOfferedError(DeliveryError):
    """The destination does not offer the service that was asked of it."""

    reason = "not-offered"


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came of, each once: some chains lead into themselves."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
