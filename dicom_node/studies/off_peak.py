"""The hours in which off-peak work may begin."""

from collections.abc import Callable
from datetime import datetime, time
from zoneinfo import ZoneInfo

from dicom_node.settings.settings import Settings


def off_peak_of(settings: Settings) -> Callable[[datetime], bool]:
    """Return what tells whether off-peak work may begin at a time.

    The hours are those on the clocks of the site; they may go past midnight.
    """
    hours, zone = settings.work.off_peak_hours, settings.results.time_zone
    if hours is None:
        return lambda _: True
    begin, end = (time.fromisoformat(one) for one in hours.split("-"))

    def is_off_peak(at: datetime) -> bool:
        # None is the zone that the machine is set to.
        local = at.astimezone(None if zone is None else ZoneInfo(zone)).time()
        if begin < end:
            return begin <= local < end
        return local >= begin or local < end

    return is_off_peak
