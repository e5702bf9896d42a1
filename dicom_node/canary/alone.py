"""Lets one canary study be on its way at a time, of all nodes before one ledger."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.settings.settings import Settings
from dicom_node.spool.spool_identity import identity_of_folder
from dicom_node.studies.ledger.canary_turns import end_turn, take_turn
from dicom_node.studies.ledger.database import Database

LOCK: Final = "canary.lock"
"""File in the spool that is locked while a canary study is on its way."""


class HeldError(NodeError):
    """Somebody has paused what the phase needs, the node is drained, or another one runs."""

    reason = "canary-held"


@contextmanager
def alone(settings: Settings, database: Database) -> Iterator[Callable[[], None]]:
    """Let no other canary study begin until the block ends, of this node or of another.

    Yields
    ------
    callable
        Has the others wait on: to be called at the begin of each phase.

    Raises
    ------
    HeldError
        One is on its way.
    """
    # A phase has its time, and each marked archive has it in the last one.
    seconds = (1 + len(settings.canary_destinations)) * settings.canary.longest_seconds
    with _alone_on_this_spool(settings):
        spool = identity_of_folder(settings.spool)

        def take() -> None:
            with database.writing() as session:
                if not take_turn(session, spool, seconds=seconds):
                    raise HeldError("the canary study of another node is on its way")

        take()
        try:
            yield take
        finally:
            with database.writing() as session:
                end_turn(session, spool)


@contextmanager
def _alone_on_this_spool(settings: Settings) -> Iterator[None]:
    descriptor = os.open(settings.spool / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HeldError("another canary study is on its way") from None
    else:
        yield
    finally:
        os.close(descriptor)
