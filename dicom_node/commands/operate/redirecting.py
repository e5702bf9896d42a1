"""What ``mammoclip-node move-deliveries`` and ``drop-deliveries`` do."""

from collections.abc import Iterator

from dicom_node.commands.account import account
from dicom_node.errors import NodeError
from dicom_node.settings.operation.canary import CANARY_DESTINATION
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.redirecting import drop_deliveries, move_deliveries


def moved(settings: Settings, database: Database, old: str, new: str, reason: str) -> Iterator[str]:
    """Move what waits for a destination to another one; yields what was done.

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
    done = move_deliveries(database, old, new, moved_by=account(), reason=reason)
    if not done.moved + done.given_up:
        raise NodeError(_NOTHING.format(old))
    yield f"moved from {old} to {new}: {_counted(done.moved)}"
    if done.given_up:
        yield f"given up, since {new} has the same results already: {_counted(done.given_up)}"


def dropped(database: Database, name: str, reason: str) -> str:
    """Give up what waits for a destination; returns what was done.

    Raises
    ------
    NodeError
        Nothing waits.
    """
    _require(reason)
    done = drop_deliveries(database, name, dropped_by=account(), reason=reason)
    if not done.given_up:
        raise NodeError(_NOTHING.format(name))
    return f"given up: {_counted(done.given_up)} to {name}"


_NOTHING = "no delivery waits for destination {}: see 'mammoclip-node destinations'"


def _require(reason: str) -> None:
    if not reason.strip():
        raise NodeError("give a reason: --reason TEXT")


def _counted(number: int) -> str:
    return f"{number} {'delivery' if number == 1 else 'deliveries'}"
