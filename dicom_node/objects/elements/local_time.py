"""The offset from UTC that all dates and times of an object are in."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from dicom_node.objects.elements.legal_values import legal_offset, legal_value

_MINUTE: Final = timedelta(minutes=1)


class MachineTimeZone(tzinfo):
    """The time zone that this machine is set to, with its changes of the clock."""

    def utcoffset(self, dt: datetime | None, /) -> timedelta | None:
        """Return the offset at a time on the machine's clocks."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None, /) -> timedelta | None:
        """Return None: which part of the offset is summer time is of no use here."""
        return None

    def tzname(self, dt: datetime | None, /) -> str | None:
        """Return the name of the zone at a time on the machine's clocks."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime, /) -> datetime:
        """Return the time on the machine's clocks."""
        local = dt.replace(tzinfo=UTC).astimezone()
        on_the_clock = local.replace(tzinfo=None)
        # Of the hour that comes twice astimezone() does not say which one it means.
        is_second = on_the_clock.astimezone().utcoffset() != local.utcoffset()
        return on_the_clock.replace(tzinfo=self, fold=int(is_second))


def site_time_zone(name: str | None) -> tzinfo:
    """Return the zone that the settings name, or the machine's where they name none."""
    return MachineTimeZone() if name is None else ZoneInfo(name)


def offset_for(source: Dataset, site: tzinfo, created_at: datetime) -> timezone:
    """Return the offset from UTC that an object is to state for all of its dates and times.

    It is the source's where that states one. Else it is the site's, as it was when the study
    began: Study Date and Study Time are copied, and one offset holds for them and for our own.
    Over the night of a clock change the two are then still in the right order.

    Parameters
    ----------
    created_at : in the zone of the site
        Its offset decides where the source has no date.

    References
    ----------
    PS3.3 C.12.1.1.8.
    """
    stated = legal_offset(str(source.get("TimezoneOffsetFromUTC") or ""))
    if stated is not None:
        minutes = 60 * int(stated[1:3]) + int(stated[3:])
        return timezone(timedelta(minutes=-minutes if stated[0] == "-" else minutes))
    begun = _begin_of_study(source)
    try:
        offset = (begun.replace(tzinfo=site) if begun else created_at).utcoffset()
    except (OverflowError, ValueError):  # a year that the machine's clock does not reach
        offset = created_at.utcoffset()
    # Before zones were agreed on, places had offsets with seconds.
    return timezone(_MINUTE * round((offset or timedelta(0)) / _MINUTE))


def _begin_of_study(source: Dataset) -> datetime | None:
    day = legal_value("DA", source.get("StudyDate") or "")
    if day is None:
        return None
    # Without a time noon stands for the day: clocks are changed at night.
    time_of_day = str(legal_value("TM", source.get("StudyTime") or "") or "12").ljust(6, "0")[:6]
    seconds = min(int(time_of_day[4:]), 59)
    return datetime.strptime(f"{day}{time_of_day[:4]}{seconds:02d}", "%Y%m%d%H%M%S")
