"""The four state machines of the ledger as tables: pure, without SQL or clock."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from dicom_node.errors import ForbiddenTransitionError


class InstanceState(StrEnum):
    """The states of one received object."""

    RECEIVED = "received"
    REGISTERED = "registered"
    SET_ASIDE = "set_aside"
    TAKEN_BACK = "taken_back"
    REPLACED = "replaced"
    REMOVED = "removed"


class StudyState(StrEnum):
    """The states of one study."""

    OPEN = "open"
    SETTLED = "settled"
    ERASED = "erased"


class AnalysisState(StrEnum):
    """The states of the analysis of one revision of a study."""

    DUE = "due"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class DeliveryState(StrEnum):
    """The states of the delivery of one analysis to one destination."""

    DUE = "due"
    SENDING = "sending"
    ACCEPTED = "accepted"
    """Answered with success, which is what the destination says."""
    CONFIRMED = "confirmed"
    """Found at the archive by asking it."""
    COMMITTED = "committed"
    """The archive has taken over the responsibility by storage commitment (PS3.4 J)."""
    REFUSED = "refused"
    EXPIRED = "expired"
    HELD = "held"
    """Made and validated for a dry destination, to which nothing is sent."""


TAKEN: Final = (DeliveryState.ACCEPTED, DeliveryState.CONFIRMED, DeliveryState.COMMITTED)
"""The states of a delivery of which the destination has taken everything, the least proven first.

Each of its objects has an outcome of the same words.
"""

WAITING: Final = (DeliveryState.DUE, DeliveryState.SENDING, DeliveryState.HELD)
"""The states of a delivery of which the destination is still to get something."""

State = InstanceState | StudyState | AnalysisState | DeliveryState


class Event(StrEnum):
    """What can happen to an object, study, analysis or delivery."""

    FILE = "file"
    SET_ASIDE = "set_aside"
    REPLACE = "replace"
    RESTORE = "restore"
    REMOVE = "remove"
    ERASE = "erase"
    SETTLE = "settle"
    LATE_IMAGE = "late_image"
    CLAIM = "claim"
    FINISH = "finish"
    FAIL = "fail"
    GIVE_BACK = "give_back"
    LEASE_LOST = "lease_lost"
    CANCEL = "cancel"
    SUPERSEDE = "supersede"
    DELIVER = "deliver"
    POSTPONE = "postpone"
    REFUSE = "refuse"
    EXPIRE = "expire"
    RETRY = "retry"
    CONFIRM = "confirm"
    COMMIT = "commit"
    MISS = "miss"
    HOLD = "hold"
    MOVE = "move"
    DROP = "drop"


_I, _S, _A, _D, _E = InstanceState, StudyState, AnalysisState, DeliveryState, Event

# One table for each machine: members of two StrEnums with equal values are equal as keys.
TRANSITIONS: Final[Mapping[type[State], Mapping[tuple[State, Event], State]]] = {
    InstanceState: {
        (_I.RECEIVED, _E.FILE): _I.REGISTERED,
        (_I.RECEIVED, _E.SET_ASIDE): _I.SET_ASIDE,
        # By a rejection note, wherever the file is by then; it stays there.
        (_I.REGISTERED, _E.SET_ASIDE): _I.SET_ASIDE,
        (_I.REMOVED, _E.SET_ASIDE): _I.SET_ASIDE,
        # The registrar then moves the file to `incoming`, where it gets a row of its own.
        (_I.SET_ASIDE, _E.RETRY): _I.TAKEN_BACK,
        # By a later copy of the same SOP Instance UID, or not after all if that is lost.
        (_I.REGISTERED, _E.REPLACE): _I.REPLACED,
        (_I.REPLACED, _E.RESTORE): _I.REGISTERED,
        # By the retention: the row outlives its file. What was set aside stays so, without one.
        (_I.REGISTERED, _E.REMOVE): _I.REMOVED,
        (_I.SET_ASIDE, _E.REMOVE): _I.SET_ASIDE,
    },
    StudyState: {
        (_S.OPEN, _E.SETTLE): _S.SETTLED,
        (_S.SETTLED, _E.LATE_IMAGE): _S.OPEN,
        # Its rows stay without identifiers: ids are never given twice, and a worker that was
        # overtaken must not find another study under the id that it holds.
        (_S.OPEN, _E.ERASE): _S.ERASED,
        (_S.SETTLED, _E.ERASE): _S.ERASED,
    },
    AnalysisState: {
        # Whatever leads away from RUNNING ends the claim: its holder can record nothing any more.
        (_A.DUE, _E.CLAIM): _A.RUNNING,
        (_A.RUNNING, _E.FINISH): _A.DONE,
        (_A.RUNNING, _E.FAIL): _A.FAILED,
        (_A.RUNNING, _E.GIVE_BACK): _A.DUE,
        (_A.RUNNING, _E.LEASE_LOST): _A.DUE,
        (_A.DUE, _E.LATE_IMAGE): _A.SUPERSEDED,
        (_A.RUNNING, _E.LATE_IMAGE): _A.SUPERSEDED,
        (_A.FAILED, _E.LATE_IMAGE): _A.SUPERSEDED,
        (_A.CANCELLED, _E.LATE_IMAGE): _A.SUPERSEDED,
        # By the next revision's answer and not by a late image: until then this is the answer,
        # unless it was given under the name of another patient.
        (_A.DONE, _E.SUPERSEDE): _A.SUPERSEDED,
        (_A.DUE, _E.CANCEL): _A.CANCELLED,
        (_A.RUNNING, _E.CANCEL): _A.CANCELLED,
        (_A.FAILED, _E.RETRY): _A.DUE,
        (_A.CANCELLED, _E.RETRY): _A.DUE,
    },
    DeliveryState: {
        (_D.DUE, _E.CLAIM): _D.SENDING,
        (_D.SENDING, _E.DELIVER): _D.ACCEPTED,
        (_D.SENDING, _E.POSTPONE): _D.DUE,
        (_D.SENDING, _E.LEASE_LOST): _D.DUE,
        (_D.SENDING, _E.REFUSE): _D.REFUSED,
        (_D.SENDING, _E.EXPIRE): _D.EXPIRED,
        (_D.DUE, _E.SUPERSEDE): _D.EXPIRED,
        (_D.REFUSED, _E.RETRY): _D.DUE,
        (_D.EXPIRED, _E.RETRY): _D.DUE,
        (_D.ACCEPTED, _E.CONFIRM): _D.CONFIRMED,
        (_D.ACCEPTED, _E.COMMIT): _D.COMMITTED,
        (_D.CONFIRMED, _E.COMMIT): _D.COMMITTED,
        # The archive answered with success and holds nothing: sent again, and in the end given up.
        (_D.ACCEPTED, _E.MISS): _D.DUE,
        (_D.ACCEPTED, _E.REFUSE): _D.REFUSED,
        # To a dry destination nothing is sent; a person may have it sent later.
        (_D.SENDING, _E.HOLD): _D.HELD,
        (_D.HELD, _E.RETRY): _D.DUE,
        (_D.HELD, _E.SUPERSEDE): _D.EXPIRED,
        # A person sends it to another destination, or gives it up.
        (_D.DUE, _E.MOVE): _D.DUE,
        (_D.HELD, _E.MOVE): _D.DUE,
        (_D.DUE, _E.DROP): _D.EXPIRED,
        (_D.HELD, _E.DROP): _D.EXPIRED,
        # The other one is asked for what is not proven, or nobody is any more.
        (_D.ACCEPTED, _E.MOVE): _D.ACCEPTED,
        (_D.ACCEPTED, _E.DROP): _D.ACCEPTED,
    },
}
"""For each machine, (state, event) to the next state; anything else is forbidden."""


def following(state: State, event: Event) -> State:
    """Return the state after an event.

    Raises
    ------
    ForbiddenTransitionError
        The event cannot happen in this state.
    """
    try:
        return TRANSITIONS[type(state)][(state, event)]
    except KeyError:
        raise ForbiddenTransitionError(
            f"{type(state).__name__} {state.value} does not allow the event {event.value}"
        ) from None
