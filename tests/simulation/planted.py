"""Faults that the product does not have, planted one at a time: each must be found."""

import os
import re
import stat
from typing import Any

import pytest
from legs import ANALYSIS, DELIVERY, RECEPTION
from sqlalchemy import select

from dicom_node.studies.ledger.due import due_work, outcomes, work
from dicom_node.studies.ledger.locks import require_locked
from dicom_node.studies.ledger.tables import ResultObject
from worker.runtime import Runtime

Patch = pytest.MonkeyPatch

_LOCK = re.compile(r" FOR (NO KEY )?UPDATE( SKIP LOCKED)?")
_VERSION = re.compile(r" AND \w+\.version = %\(version_\d+\)s(::INTEGER)?")


def claim_that_nobody_compares(patch: Patch) -> None:
    """A worker that lost its lease records its end over that of its successor."""
    for module in (work, outcomes):
        patch.setattr(module, "held_row", lambda session, table, held: require_locked(
            session, table, held.id))  # fmt: skip


def heart_that_does_not_beat(patch: Patch) -> None:
    """A lease is not renewed while its holder is at work."""
    patch.setattr(Runtime, "_beat", lambda *_: None)


def lease_that_nobody_recovers(patch: Patch) -> None:
    """What a killed worker had taken stays taken."""
    patch.setattr(work, "recover_lost", lambda *_, **__: [])


def answer_before_the_name(patch: Patch) -> None:
    """An object is answered with success before the name of its file is on disk."""
    patch.setattr("dicom_node.spool.local_disk.flush_folder", lambda _: None)


def answer_before_the_content(patch: Patch) -> None:
    """An object is answered with success while its content is not on disk yet."""
    flush = os.fsync

    def flush_folders_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            flush(descriptor)

    patch.setattr(os, "fsync", flush_folders_only)


def rows_before_the_files(patch: Patch) -> None:
    """The ledger names result objects whose files are not on disk yet."""
    patch.setattr("worker.analyze.analysis.kept_results", _named_and_not_written)


def objects_sent_again(patch: Patch) -> None:
    """What the archive has taken is sent again at the next attempt."""

    def undelivered(session: Any, delivery: Any, wanted: Any) -> list[ResultObject]:
        query = select(ResultObject).where(ResultObject.analysis_id == delivery.analysis_id)
        return [row for row in session.scalars(query) if (row.kind, row.variant) in wanted]

    patch.setattr(outcomes, "undelivered", undelivered)


def lost_messages_not_sent_again(patch: Patch) -> None:
    """What the broker lost is never sent again."""
    patch.setattr(due_work, "dispatched_before", lambda *_, **__: [])


def without_locks_and_versions(statement: str) -> str:
    """PostgreSQL is asked neither to lock a row nor to compare its version."""
    return _VERSION.sub("", _LOCK.sub("", statement))


def _named_and_not_written(spool: Any, held: Any, former: Any, results: Any) -> list[Any]:
    from worker.analyze import kept_results

    names = []
    for encoded in kept_results._encoded(spool, held, former, results):
        names.append(encoded.made)
        if encoded.content is not None:
            file = spool.file(encoded.made.place)
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_bytes(b"".join(encoded.content))
    return names


FOUND_BY = {
    claim_that_nobody_compares: ("worker stands still", ANALYSIS),
    heart_that_does_not_beat: ("archive away", ANALYSIS),
    lease_that_nobody_recovers: ("worker killed", ANALYSIS),
    answer_before_the_name: ("power cut", RECEPTION),
    answer_before_the_content: ("power cut", RECEPTION),
    rows_before_the_files: ("power cut", ANALYSIS),
    objects_sent_again: ("archive away", DELIVERY),
    lost_messages_not_sent_again: ("messages lost", ANALYSIS),
}
"""What must befall the site for a planted fault to do harm, and in which leg it does so soonest:
schedules with it find it sooner."""
