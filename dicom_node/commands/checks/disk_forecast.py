"""What ``mammoclip-node check`` says of the disk: how fast it fills, and what retention frees."""

import shutil
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.settings.settings import Settings
from dicom_node.spool.spool_identity import identity_of_folder
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries.growth import (
    Removable,
    arrivals,
    bytes_on_disk,
    newest_results,
    removable,
)
from dicom_node.studies.ledger.spools import FIRST, spool_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How the disk of a spool fills, if the next days are like the last ones.

    Attributes
    ----------
    free_bytes, reserve_bytes : of the disk; below the reserve objects are refused
    daily_bytes : images and results that come in a day
    kept_bytes : images that are there
    due : what retention.days removes now
    at_need : what the retention could remove if room were needed
    """

    free_bytes: int
    reserve_bytes: int
    studies: int
    days: float
    bytes_per_study: float
    daily_bytes: float
    kept_bytes: int
    retention_days: float | None
    makes_room: bool
    due: Removable
    at_need: Removable

    @property
    def days_left(self) -> float:
        """Return the days until the reserve is reached if nothing is removed."""
        return max(self.free_bytes - self.reserve_bytes, 0) / self.daily_bytes

    def in_words(self) -> list[str]:
        """Return the forecast, a sentence each."""
        if not self.studies:
            return [
                f"disk: {_size(self.free_bytes)} free; nothing came in the last {self.days:.0f} "
                "days: no forecast"
            ]
        return [
            f"disk: {_size(self.free_bytes)} free; {_size(self.bytes_per_study)} a study "
            f"({self.studies} studies in {self.days:.0f} days), {_size(self.daily_bytes)} a day: "
            f"without removing anything, {_size(self.reserve_bytes)} "
            f"(receive.minimum_free_bytes) are reached {self._when()}",
            f"disk: {self._what_is_removed()}",
        ]

    def _when(self) -> str:
        return "now" if self.days_left < 1 else f"in {self.days_left:.0f} days"

    def _what_is_removed(self) -> str:
        could = f"{_size(self.at_need.size_bytes)} of {self.at_need.studies} delivered studies"
        if self.retention_days is None and not self.makes_room:
            return f"no retention is set; it could remove {could} now: see [retention]"
        words = []
        if self.retention_days is not None:
            words.append(
                f"retention.days frees {_size(self.due.size_bytes)} now "
                f"({self.due.studies} studies); {self._level(self.retention_days)}"
            )
        if self.makes_room:
            words.append(f"when room is needed, retention frees up to {could}")
        return "; ".join(words)

    def _level(self, days: float) -> str:
        level = self.daily_bytes * days
        room = self.free_bytes - self.reserve_bytes + self.kept_bytes
        fits = "fits" if level <= room else "does NOT fit: shorten it, or get a larger disk"
        return f"with {days:g} days the spool levels off at {_size(level)}, which {fits}"


def disk_forecast(settings: Settings) -> list[str]:
    """Forecast how the spool's disk fills; nothing where ledger or spool cannot be read."""
    # What is wrong with ledger and spool, their own checks have said.
    with (
        suppress(NodeError, DATABASE_TROUBLE, OSError),
        closing(Database(settings.ledger_url)) as database,
    ):
        if settings.spool.is_dir() and database.has_tables():
            with database.reading() as session:
                return forecast(settings, session, at=database_time(session)).in_words()
    return []


def forecast(settings: Settings, session: Session, *, at: datetime) -> Forecast:
    """Forecast from what came in the last days."""
    own = spool_of(session, identity_of_folder(settings.spool)) or FIRST
    came, retention = arrivals(session, own, at=at), settings.retention
    per_study = 0.0
    if came.studies:
        per_study = came.size_bytes / came.studies + _bytes_of_results(settings.spool, session, own)
    confirming = settings.confirming_names
    none = Removable(studies=0, size_bytes=0)
    return Forecast(
        free_bytes=shutil.disk_usage(settings.spool).free,
        reserve_bytes=settings.receive.minimum_free_bytes,
        studies=came.studies,
        days=came.days,
        bytes_per_study=per_study,
        daily_bytes=max(per_study * came.studies / came.days, 1.0),
        kept_bytes=bytes_on_disk(session, own),
        retention_days=retention.days,
        makes_room=retention.free_bytes is not None or retention.free_percent is not None,
        due=none
        if retention.days is None
        else removable(
            session, own, confirming=confirming, finished_before=at - timedelta(days=retention.days)
        ),
        at_need=removable(session, own, confirming=confirming, finished_before=at),
    )


def _bytes_of_results(spool: Path, session: Session, spool_id: int) -> float:
    """Return how much the results of one of the newest analyses take."""
    analyses, places = newest_results(session, spool_id)
    size = 0
    for place in places:
        with suppress(OSError):  # removed meanwhile
            size += (spool / place).lstat().st_size
    return size / analyses if analyses else 0.0


def _size(size_bytes: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes / 1e3:.3g} kB"
