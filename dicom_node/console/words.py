"""Times, durations and sizes as people read them."""

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from dicom_node.settings.settings import Settings

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))
_SIZES: Final = ("bytes", "kB", "MB", "GB", "TB")


def zone_of(settings: Settings) -> tzinfo:
    """Return the zone of the site: that of the settings, else that of this machine."""
    if settings.results.time_zone is not None:
        return ZoneInfo(settings.results.time_zone)
    return datetime.now(UTC).astimezone().tzinfo or UTC


def in_zone(at: datetime | str | None, zone: tzinfo) -> str:
    """Return an instant on the clocks of the site, with its zone."""
    if not at:
        return "never"
    instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    left = int(abs(seconds))
    if abs(seconds) < 10:
        return f"{abs(seconds):.1f} s"
    parts = []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    if left and len(parts) < 2:
        parts.append(f"{left} s")
    return " ".join(parts[:2]) or "0 s"


def ago(at: datetime | None, now: datetime) -> str:
    """Say how long ago something was."""
    return "never" if at is None else f"{duration((now - at).total_seconds())} ago"


def size(number: float) -> str:
    """Return a number of bytes in words."""
    for unit in _SIZES:
        if number < 1000 or unit == _SIZES[-1]:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("the largest unit takes every number")


def day(date: str) -> str:
    """Return a DICOM date as YYYY-MM-DD; what is none as it is."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdecimal() else date


def name(patient_name: str) -> str:
    """Return a DICOM name as people write it: family name, given names."""
    family, _, rest = patient_name.partition("=")[0].partition("^")
    given = " ".join(part for part in rest.split("^") if part)
    return ", ".join(part for part in (family, given) if part)
