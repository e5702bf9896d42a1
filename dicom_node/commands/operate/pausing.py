"""What ``mammoclip-node pause`` and ``resume`` do."""

from collections.abc import Iterator

from dicom_node.commands.account import account
from dicom_node.errors import NodeError
from dicom_node.settings.settings import Settings
from dicom_node.spool.draining import begin_draining, draining, end_draining
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.pauses import NAMED, Paused, pause, pauses, resume
from dicom_node.studies.ledger.locks import database_time

_LONGEST_NAME = {Paused.SENDER: 16, Paused.DESTINATION: 64}


def paused(
    settings: Settings, database: Database, what: str, name: str, reason: str, *, by: str = ""
) -> Iterator[str]:
    """Pause something; yields what is paused now, and what is to be known about it.

    Parameters
    ----------
    by : who does it; by default the account of the operating system

    Raises
    ------
    NodeError
        There is no such thing to be paused.
    """
    kind = _kind_of(what, name)
    if kind is Paused.DESTINATION and settings.destination(name) is None:
        known = ", ".join(one.name for one in settings.destinations) or "none"
        raise NodeError(f"no destination {name!r} in the settings; there are: {known}")
    with database.writing() as session:
        at = database_time(session)
        pause(session, kind, name, reason=reason, paused_by=by or account(), at=at)
        facts = next(one for one in pauses(session) if (one.kind, one.name) == (kind, name))
    yield facts.in_words()
    yield f"It ends with 'mammoclip-node resume {facts.subject}'."


def resumed(database: Database, what: str, name: str) -> str:
    """End a pause.

    Raises
    ------
    NodeError
        It is not paused.
    """
    kind = _kind_of(what, name)
    with database.writing() as session:
        was_paused = resume(session, kind, name, at=database_time(session))
        left = [one.subject for one in pauses(session)]
    subject = f"{kind.value} {name}".strip()
    if not was_paused:
        raise NodeError(f"{subject} is not paused; paused are: {', '.join(left) or 'none'}")
    return f"{subject} is resumed" + (f"; still paused: {', '.join(left)}" if left else "")


def drained(settings: Settings, reason: str, *, by: str = "") -> list[str]:
    """Have the node take nothing new; returns what is so now, and what is to be known about it.

    Raises
    ------
    NodeError
        It takes nothing new already.
    """
    if (known := draining(settings.spool)) is not None:
        raise NodeError(known.in_words())
    begun = begin_draining(settings.spool, by=by or account(), reason=reason)
    return [
        begun.in_words(),
        "What it has is analysed and delivered. It ends with 'mammoclip-node drain --end'.",
    ]


def receiving_again(settings: Settings) -> str:
    """Have a drained node receive again.

    Raises
    ------
    NodeError
        It is not drained.
    """
    if not end_draining(settings.spool):
        raise NodeError("the node is not drained: it receives")
    return "the node receives again"


def _kind_of(what: str, name: str) -> Paused:
    try:
        kind = Paused(what)
    except ValueError:
        raise NodeError(
            f"{what!r} cannot be paused: choose node, worker, results, sender AE-TITLE or "
            "destination NAME"
        ) from None
    if (kind in NAMED) != bool(name):
        raise NodeError(
            f"name the {what}: {what} NAME" if kind in NAMED else f"{what} takes no name"
        )
    if len(name) > _LONGEST_NAME.get(kind, 0):
        raise NodeError(f"{name!r} is no name of a {what}: it is too long")
    return kind
