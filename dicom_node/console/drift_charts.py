"""Draws of each scanner the share of flagged studies day by day, with its alarms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Final

from dicom_node.drift.rounds import days_of
from dicom_node.monitoring.intervals import wilson
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.monitoring.tables import DriftAlarm, MonitorNote

WIDTH: Final = 600
HEIGHT: Final = 140
_LEAST_TOP: Final = 0.1
"""Share at the top of a chart at least: so that chance looks small where little is flagged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One day of a chart, or one alarm.

    Attributes
    ----------
    x, y, low, high : places in the drawing, from its upper left corner
    """

    x: float
    words: str
    y: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The days of one scanner.

    Attributes
    ----------
    top : share at the upper edge
    line : of the shares, as the points of an SVG polyline
    """

    scanner: str
    top: float
    days: Sequence[Mark]
    alarms: Sequence[Mark]

    @property
    def line(self) -> str:
        """Return the points of the days."""
        return " ".join(f"{one.x:.1f},{one.y:.1f}" for one in self.days)


def drift_charts(
    notes: Iterable[MonitorNote],
    alarms: Iterable[DriftAlarm],
    *,
    since: datetime,
    until: datetime,
    zone: tzinfo,
) -> list[Chart]:
    """Return a chart of each scanner that has answers or alarms, by name."""
    seen: dict[str, list[MonitorNote]] = {}
    for row in notes:
        scanner = Fingerprint(row.manufacturer, row.model, row.serial).scanner
        seen.setdefault(scanner, []).append(row)
    raised: dict[str, list[DriftAlarm]] = {}
    for alarm in alarms:
        if alarm.scanner:  # a stop rule is of no scanner
            raised.setdefault(alarm.scanner, []).append(alarm)
    first, last = (at.astimezone(zone).date() for at in (since, until))
    return [
        _chart(scanner, seen.get(scanner, []), raised.get(scanner, []), (first, last), zone)
        for scanner in sorted(seen.keys() | raised.keys())
    ]


def _chart(
    scanner: str,
    rows: Sequence[MonitorNote],
    alarms: Sequence[DriftAlarm],
    span: tuple[date, date],
    zone: tzinfo,
) -> Chart:
    days = days_of(rows, zone, late_after_seconds=float("inf"))
    shares = [
        (one, one.counted["flag_rate"], *wilson(one.counted["flag_rate"], one.answers))
        for one in days
    ]
    top = max([_LEAST_TOP, *(flagged / one.answers for one, flagged, _, _ in shares)])
    top = min(top * 1.2, 1.0)

    def across(day: date) -> float:
        return WIDTH * ((day - span[0]).days + 0.5) / ((span[1] - span[0]).days + 1)

    def down(share: float) -> float:
        return HEIGHT * (1 - min(share / top, 1.0))

    return Chart(
        scanner=scanner,
        top=top,
        days=[
            Mark(
                x=across(one.day),
                y=down(flagged / one.answers),
                low=down(low),
                high=down(high),
                words=f"{one.day}: {flagged} of {one.answers} flagged ({low:.1%} to {high:.1%})",
            )
            for one, flagged, low, high in shares
        ],
        alarms=[
            Mark(
                x=across(one.at.astimezone(zone).date()),
                words=f"{one.at.astimezone(zone):%Y-%m-%d %H:%M}: {one.kind}",
            )
            for one in alarms
        ],
    )
