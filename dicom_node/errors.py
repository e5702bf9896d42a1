"""Every error the node lets out, in one tree.

NodeError
├── SettingsError                   the settings file has mistakes: all of them are in the message
├── AddressError                    the listener's address cannot be used
├── RefusedError                    answered to the sender; nothing was kept
│   ├── OutOfResourcesError             disk watermark or a limit; the sender may try later
│   ├── SopClassNotSupportedError       a SOP Class that this sender may not store
│   └── NotAuthorisedError              the sender is not configured for what it sent
├── SetAsideError                   kept, but not analysed, with its reason
├── ObjectRefusedError              a valid result object cannot be made from the sources
├── RenderError                     a study on disk cannot be rendered into result objects
├── LedgerError
│   ├── ForbiddenTransitionError        the table of states has no such row
│   ├── OvertakenError                  another process moved the row first: read again
│   └── UnknownStudyError               no study of this UID is in the ledger
├── BrokerDownError                 the broker did not take a message; the ledger still knows
└── DeliveryError
    └── DestinationDownError            no association, timeout: try again
"""

from typing import ClassVar


class NodeError(Exception):
    """Base of all errors of the node; `reason` is a stable word for ledger, logs and metrics."""

    reason: ClassVar[str] = "node-error"


class SettingsError(NodeError):
    """The settings have mistakes; the message lists every one with its key."""

    reason = "settings"


class AddressError(NodeError):
    """The listener's address is not the machine's, or its port is taken or privileged."""

    reason = "address"


class RefusedError(NodeError):
    """A C-STORE request is answered with a failure status and nothing is kept."""

    reason = "refused"


class OutOfResourcesError(RefusedError):
    """The disk has reached its watermark, or the object is over the size limit."""

    reason = "out-of-resources"


class SopClassNotSupportedError(RefusedError):
    """The SOP Class is negotiated for other senders only."""

    reason = "sop-class-not-supported"


class NotAuthorisedError(RefusedError):
    """The sender is not configured to send objects of this SOP Class."""

    reason = "not-authorised"


class SetAsideError(NodeError):
    """The object is kept aside and not analysed.

    Parameters
    ----------
    reason_word : stable word for the ledger, for example ``unreadable-object``
    message : str
        The fact, without patient data.
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
    """The ledger does not hold what was asked, or does not allow it."""

    reason = "ledger"


class ForbiddenTransitionError(LedgerError):
    """The table of states has no row for this event: a bug or a stale command."""

    reason = "forbidden-transition"


class OvertakenError(LedgerError):
    """Another process moved the row since it was read."""

    reason = "overtaken"


class UnknownStudyError(LedgerError):
    """No study of this Study Instance UID is in the ledger."""

    reason = "unknown-study"


class BrokerDownError(NodeError):
    """The broker did not take a message. Nothing is lost: the ledger still says what is due."""

    reason = "broker-down"


class DeliveryError(NodeError):
    """A destination did not take a result object."""

    reason = "delivery"


class DestinationDownError(DeliveryError):
    """The destination could not be reached or asked to try later."""

    reason = "destination-down"
