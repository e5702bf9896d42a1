"""Has everything registered that a restored spool holds and its ledger does not know."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from dicom_node.spool.back_up import filed_receipts, forget_restoring, is_restored, receive_again
from dicom_node.spool.names import Receipt
from dicom_node.studies.ledger.copying import unknown_receipts
from dicom_node.studies.ledger.database import Database

log = structlog.get_logger("dicom_node.restoring")

_BATCH: Final = 500


def restore_if_wanted(root: Path, database: Database) -> None:
    """Take objects without a row back to reception, once after a back-up was put in place.

    Safe to repeat after a crash. For the one thread that moves files, before it registers.
    """
    if not is_restored(root):
        return
    waiting: list[tuple[Receipt, Path]] = []
    count = 0
    for one in filed_receipts(root):
        waiting.append(one)
        if len(waiting) == _BATCH:
            count += _receive_unknown(root, database, waiting)
            waiting = []
    count += _receive_unknown(root, database, waiting)
    forget_restoring(root)
    log.warning("spool_restored", count=count)


def _receive_unknown(root: Path, database: Database, filed: Sequence[tuple[Receipt, Path]]) -> int:
    with database.reading() as session:
        unknown = unknown_receipts(session, [str(receipt) for receipt, _ in filed])
    for receipt, file in filed:
        if str(receipt) in unknown:
            receive_again(root, receipt, file)
    return len(unknown)
