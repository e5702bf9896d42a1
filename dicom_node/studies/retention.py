"""Removes what the settings no longer keep: first its row says so, then its file is deleted.

Called by the one thread that moves files in the spool, a portion at a time.
"""

import shutil
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import structlog

from dicom_node.errors import OutOfResourcesError
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.spool.files.removal import is_being_read
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.arrival.registering import confirm_removed
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.removal.removing import (
    Finished,
    Position,
    confirm_results_deleted,
    finished_studies,
    instances_to_delete,
    mark_set_aside,
    mark_study,
    results_to_delete,
)
from dicom_node.studies.own_spool import own_spool

log = structlog.get_logger("dicom_node.retention")

PORTION: Final = 20
"""Studies that one step removes: objects that arrive meanwhile wait for it."""

_WINDOWS: Final = 4
"""Looks at the ledger in one step."""

_PAUSE_SECONDS: Final = 30.0
"""Between two rounds through all studies with files."""


class Retention:
    """Applies the settings of [retention] to a spool; may be killed and repeated at any point.

    Parameters
    ----------
    confirming : names of destinations that are set to confirm what they have accepted
    clock : the database's
    believes : whether what is old by the clock is old; by default it always is
    free_space : returns free and all bytes of the disk of a folder
    """

    def __init__(
        self,
        spool: Spool,
        database: Database,
        settings: RetentionSettings,
        *,
        clock: Callable[[], datetime],
        confirming: Collection[str] = (),
        free_space: Callable[[Path], tuple[int, int]] | None = None,
        believes: Callable[[datetime], bool] = lambda _: True,
    ) -> None:
        self._spool = spool
        self._database = database
        self._settings = settings
        self._clock = clock
        self._confirming = frozenset(confirming)
        self._free_space = free_space or _free_space
        self._believes = believes
        self._position: Position | None = None
        self._pause_until = 0.0
        self._trouble: set[str] = set()
        self._is_lacking = self._was_lacking = False

    def step(self, *, at_once: bool = False) -> int:
        """Delete what is to be deleted, and decide on a further portion; return what was decided.

        Parameters
        ----------
        at_once : do not wait between two rounds through all studies
        """
        self.delete_marked()
        if not self._settings.is_on:
            return 0
        lacking = self._lacking_bytes()
        # A disk that has just become too full is not left waiting: objects are coming fast.
        is_news = lacking > 0 and not self._was_lacking
        self._was_lacking = lacking > 0
        if time.monotonic() < self._pause_until and not (at_once or is_news):
            return 0
        at = self._clock()
        decided = self._remove_studies(at, lacking) + self._remove_set_aside(at)
        if decided:
            self.delete_marked()
        elif self._position is None:
            self._pause_until = time.monotonic() + _PAUSE_SECONDS
        return decided

    @property
    def is_amid_round(self) -> bool:
        """Whether the last step has not come to the end of the studies with files."""
        return self._position is not None

    def delete_marked(self) -> None:
        """Delete the files of rows that say so, and empty their places."""
        with self._database.reading() as session:
            instances = instances_to_delete(session, self._spool_id, limit=PORTION * 10)
            results = results_to_delete(session, self._spool_id, limit=PORTION)
        gone = [row for row in instances if self._delete(row.place)]
        deleted = [one for one, folders in results.items() if self._delete_results(folders)]
        if gone or deleted:
            with self._database.writing() as session:
                confirm_removed(session, [row.id for row in gone])
                confirm_results_deleted(session, deleted)
        for place in {row.place.rpartition("/")[0]: row.place for row in gone}.values():
            self._spool.leave(place)

    def _remove_studies(self, at: datetime, lacking: int) -> int:
        limits = self._limits(at)
        newest = at if lacking > 0 else max(limits.values(), default=None)
        if newest is None:
            self._position = None
            return 0
        found: list[Finished] = []
        for _ in range(_WINDOWS):
            with self._database.reading() as session:
                finished, self._position = finished_studies(
                    session,
                    self._spool_id,
                    confirming=self._confirming,
                    received_before=newest,
                    after=self._position,
                )
            found += finished
            # Where room is needed the order among all of them counts.
            if self._position is None or (lacking <= 0 and len(found) >= PORTION):
                break
        found.sort(key=lambda one: (one.finished_at, one.study_id))
        count = 0
        for one in found:
            before = limits.get(one.was_delivered)
            is_old = before is not None and one.finished_at <= before
            if count >= PORTION or not (is_old or (lacking > 0 and one.was_delivered)):
                continue
            size = self._mark(one, is_old=is_old, at=at)
            if size is not None:
                count += 1
                lacking -= size
        if count >= PORTION:
            self._position = None  # what was found besides is older than what comes next
        self._tell_lack(is_lacking=lacking > 0 and not count and self._position is None)
        return count

    def _tell_lack(self, *, is_lacking: bool) -> None:
        if is_lacking and not self._is_lacking:
            detail = "no delivered study is left to remove: free disk space, or deliver what waits"
            log.warning("disk_nearly_full", detail=detail)
        self._is_lacking = is_lacking

    def _limits(self, at: datetime) -> dict[bool, datetime]:
        """Return when a study must have been finished, for delivered ones and for the others."""
        if not self._believes(at):
            return {}
        days = {True: self._settings.days, False: self._settings.set_aside_days}
        return {key: at - timedelta(days=one) for key, one in days.items() if one is not None}

    def _mark(self, one: Finished, *, is_old: bool, at: datetime) -> int | None:
        settings = self._settings
        if is_old and one.was_delivered:
            because = f"delivered more than {settings.days:g} days ago (retention.days)"
        elif is_old:
            because = f"of no use for {settings.set_aside_days:g} days (retention.set_aside_days)"
        else:
            because = "the disk was nearly full (retention.free_bytes, retention.free_percent)"
        with self._database.writing() as session:
            size = mark_study(
                session,
                one.study_id,
                confirming=self._confirming,
                finished_before=one.finished_at,
                because=because,
                at=at,
                is_being_read=partial(is_being_read, self._spool.root),
            )
        if size is not None:
            log.info("study_removed", detail=because, study=size.study_instance_uid)
            return size.size_bytes
        return None

    def _remove_set_aside(self, at: datetime) -> int:
        days = self._settings.set_aside_days
        if days is None or not self._believes(at):
            return 0
        with self._database.writing() as session:
            return mark_set_aside(
                session,
                self._spool_id,
                received_before=at - timedelta(days=days),
                because=f"set aside for {days:g} days (retention.set_aside_days)",
                at=at,
                limit=PORTION,
            )

    @cached_property
    def _spool_id(self) -> int:
        return own_spool(self._spool, self._database)

    def _lacking_bytes(self) -> int:
        """Return how much less is free than the settings ask for; 0 or less if it suffices."""
        wanted, percent = self._settings.free_bytes or 0, self._settings.free_percent or 0
        if not wanted and not percent:
            return 0
        free, total = self._free_space(self._spool.root)
        return max(wanted, round(total * percent / 100)) - free

    def _delete(self, place: str) -> bool:
        """Delete a file; whether it is gone."""
        if is_being_read(self._spool.root, place):
            return False
        return self._tried(place, partial(self._spool.discard, place))

    def _delete_results(self, analysis_ids: Collection[int]) -> bool:
        """Delete all that was made of a study; whether it is gone."""
        folders = {f"results/{one}": one for one in analysis_ids}
        if any(is_being_read(self._spool.root, folder) for folder in folders):
            return False
        tried = [
            self._tried(folder, partial(self._spool.discard_results, one))
            for folder, one in folders.items()
        ]
        return all(tried)

    def _tried(self, place: str, delete: Callable[[], None]) -> bool:
        try:
            delete()
        except (OSError, ValueError, OutOfResourcesError) as error:
            # A link that somebody has planted, or a disk in trouble: told once, tried again.
            if place not in self._trouble:
                log.exception("removal_failed", reason=type(error).__name__, detail=str(error))
            self._trouble.add(place)
            return False
        self._trouble.discard(place)
        return True


def _free_space(folder: Path) -> tuple[int, int]:
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total
