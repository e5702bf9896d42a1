from typing import get_args

import pytest

from dicom_node.errors import ForbiddenTransitionError
from dicom_node.studies.ledger.states import (
    TRANSITIONS,
    AnalysisState,
    DeliveryState,
    Event,
    InstanceState,
    State,
    StudyState,
    following,
)

# Written out a second time on purpose: a change of a life has to be meant.
ALLOWED = {
    InstanceState: {
        ("received", "file"): "registered",
        ("received", "set_aside"): "set_aside",
        ("registered", "set_aside"): "set_aside",
        ("removed", "set_aside"): "set_aside",
        ("set_aside", "retry"): "taken_back",
        ("registered", "replace"): "replaced",
        ("replaced", "restore"): "registered",
        ("registered", "remove"): "removed",
        ("set_aside", "remove"): "set_aside",
    },
    StudyState: {
        ("open", "settle"): "settled",
        ("settled", "late_image"): "open",
        ("open", "erase"): "erased",
        ("settled", "erase"): "erased",
    },
    AnalysisState: {
        ("due", "claim"): "running",
        ("running", "finish"): "done",
        ("running", "fail"): "failed",
        ("running", "give_back"): "due",
        ("running", "lease_lost"): "due",
        ("due", "late_image"): "superseded",
        ("running", "late_image"): "superseded",
        ("failed", "late_image"): "superseded",
        ("cancelled", "late_image"): "superseded",
        ("done", "supersede"): "superseded",
        ("due", "cancel"): "cancelled",
        ("running", "cancel"): "cancelled",
        ("failed", "retry"): "due",
        ("cancelled", "retry"): "due",
    },
    DeliveryState: {
        ("due", "claim"): "sending",
        ("sending", "deliver"): "accepted",
        ("sending", "postpone"): "due",
        ("sending", "lease_lost"): "due",
        ("sending", "refuse"): "refused",
        ("sending", "expire"): "expired",
        ("due", "supersede"): "expired",
        ("refused", "retry"): "due",
        ("expired", "retry"): "due",
        ("accepted", "confirm"): "confirmed",
        ("accepted", "commit"): "committed",
        ("confirmed", "commit"): "committed",
        ("accepted", "miss"): "due",
        ("accepted", "refuse"): "refused",
        ("sending", "hold"): "held",
        ("held", "retry"): "due",
        ("held", "supersede"): "expired",
        ("due", "move"): "due",
        ("held", "move"): "due",
        ("due", "drop"): "expired",
        ("held", "drop"): "expired",
        ("accepted", "move"): "accepted",
        ("accepted", "drop"): "accepted",
    },
}

PRODUCT = [(state, event) for life in ALLOWED for state in life for event in Event]


def _name(value: object) -> str:
    return f"{type(value).__name__}.{value}"


@pytest.mark.parametrize(("state", "event"), PRODUCT, ids=_name)
def test_every_event_in_every_state_does_what_the_life_says(state: State, event: Event) -> None:
    expected = ALLOWED[type(state)].get((state.value, event.value))

    if expected is None:
        with pytest.raises(ForbiddenTransitionError):
            following(state, event)
    else:
        assert following(state, event) is type(state)(expected)


def test_every_kind_of_state_has_a_life() -> None:
    assert set(TRANSITIONS) == set(get_args(State))


@pytest.mark.parametrize("life", ALLOWED)
def test_every_state_can_be_reached_from_the_first(life: type[State]) -> None:
    reached = {next(iter(life))}
    for _ in life:
        reached |= {to for (state, _), to in TRANSITIONS[life].items() if state in reached}

    assert reached == set(life)


def test_every_event_befalls_something() -> None:
    used = {event for life in TRANSITIONS.values() for _, event in life}

    assert used == set(Event)


def test_message_of_a_refused_event_names_the_state() -> None:
    with pytest.raises(
        ForbiddenTransitionError, match="StudyState open does not allow the event claim"
    ):
        following(StudyState.OPEN, Event.CLAIM)
