"""What ``mammoclip-node move-deliveries`` and ``drop-deliveries`` do."""

from collections.abc import Iterator
from dataclasses import astuple
from typing import Final

from dicom_node.commands.account import account
from dicom_node.errors import NodeError
from dicom_node.settings.operation.canary import CANARY_DESTINATION
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries.unproven import owed_elsewhere
from dicom_node.studies.redirecting import drop_deliveries, move_deliveries


def moved(settings: Settings, database: Database, old: str, new: str, reason: str) -> Iterator[str]:
    """Move what waits for a destination to another one; yields what was done.

    What one that left the settings has accepted and not proven, the other one is asked for, if the
    settings have it prove anything.

    Raises
    ------
    NodeError
        The other one is not in the settings, or nothing waits.
    """
    _require(reason)
    if old == CANARY_DESTINATION:
        raise NodeError("what waits for canary are a phantom's results, which no archive gets")
    others = [one.name for one in settings.destinations if one.name != old]
    if new not in others:
        raise NodeError(
            f"{new!r} is no other destination of the settings; "
            f"there are: {', '.join(others) or 'none'}"
        )
    is_gone = old not in settings.destination_names
    done = move_deliveries(
        database,
        old,
        new,
        moved_by=account(),
        reason=reason,
        with_proofs=is_gone and new in settings.confirming_names,
    )
    with database.reading() as session:
        left = owed_elsewhere(session, settings.destination_names).get(old, 0)
    if not (left or any(astuple(done))):
        raise NodeError(_NOTHING.format(old))
    if done.moved or done.given_up:
        yield f"moved from {old} to {new}: {_counted(done.moved)}"
    if done.asked:
        yield f"accepted by {old}, and {new} is asked to prove it: {_counted(done.asked)}"
    if done.waived:
        yield f"accepted by {old}, and {new} has the same results: {_counted(done.waived)}"
    if left:
        yield (
            f"left as they are, accepted by {old} and not proven: {_counted(left)}. {new} proves "
            'nothing (confirm = "none"): set confirm there and repeat this, or see '
            "'mammoclip-node drop-deliveries'"
        )
    if done.given_up:
        yield f"given up, since {new} has the same results already: {_counted(done.given_up)}"


def dropped(settings: Settings, database: Database, name: str, reason: str) -> Iterator[str]:
    """Give up what waits for a destination; yields what was done.

    Of one that left the settings no proof is wanted any more of what it has accepted.

    Raises
    ------
    NodeError
        Nothing waits.
    """
    _require(reason)
    done = drop_deliveries(
        database,
        name,
        dropped_by=account(),
        reason=reason,
        with_proofs=name not in settings.destination_names,
    )
    if not any(astuple(done)):
        raise NodeError(_NOTHING.format(name))
    if done.given_up:
        yield f"given up: {_counted(done.given_up)} to {name}"
    if done.waived:
        yield f"accepted by {name}, and no proof is wanted any more: {_counted(done.waived)}"


_NOTHING: Final = "no delivery waits for destination {}: see 'mammoclip-node destinations'"


def _require(reason: str) -> None:
    if not reason.strip():
        raise NodeError("give a reason: --reason TEXT")


def _counted(number: int) -> str:
    return f"{number} {'delivery' if number == 1 else 'deliveries'}"
