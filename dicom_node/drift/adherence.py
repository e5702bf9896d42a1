"""Alarms on routing: studies that no rule took, and those that are not meant for the model."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.drift.outlook import MINIMUM
from dicom_node.monitoring.alarms import Alarm, Kind
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.settings.operation.monitoring import MonitoringSettings
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.tables import Analysis

LOOKED_BACK: Final = timedelta(days=7)
MOST_OUTSIDE: Final = 0.01
"""Share of answers outside of the inclusion criteria that is no alarm."""

NO_RULE: Final = ("", "default")
"""What an analysis has for a rule if none of the settings took its study."""


@dataclass(slots=True)
class Adherence:
    """How the answers to one scanner's studies keep to the rules and the criteria.

    Attributes
    ----------
    no_rule : whose study no rule took, though there are rules
    outside : by the reason for which the study is not meant for the model
    """

    answers: int = 0
    no_rule: int = 0
    outside: Counter[str] = field(default_factory=Counter)


def adherence(
    session: Session, settings: Settings, *, since: datetime, until: datetime | None = None
) -> dict[str, Adherence]:
    """Count the answers of some time, by scanner."""
    note = MonitorNote
    grouped = (note.manufacturer, note.model, note.serial, note.age_band, note.implants)
    query = (
        select(*grouped, Analysis.rule, func.count(note.id))
        .join(Analysis, Analysis.id == note.analysis_id)
        .where(note.at >= since)
        .group_by(*grouped, Analysis.rule)
    )
    if until is not None:
        query = query.where(note.at < until)
    found: dict[str, Adherence] = defaultdict(Adherence)
    for manufacturer, model, serial, age_band, implants, rule, count in session.execute(query):
        one = found[Fingerprint(manufacturer, model, serial).scanner]
        one.answers += count
        if settings.rules and rule in NO_RULE:
            one.no_rule += count
        if reason := _outside(settings.monitoring, age_band, implants):
            one.outside[reason] += count
    return found


def routing_alarms(session: Session, settings: Settings, *, now: datetime) -> Iterator[Alarm]:
    """Yield an alarm for each scanner whose last days break a rule of routing.

    These are counts of facts, not of chance: one study that no rule took is told, and more than
    one in a hundred outside of the criteria.
    """
    days = f"of the last {LOOKED_BACK.days} days"
    for scanner, one in adherence(session, settings, since=now - LOOKED_BACK).items():
        if one.no_rule:
            words = f"{one.no_rule} of {one.answers} studies {days} were taken by no rule"
            yield Alarm(scanner=scanner, kind=Kind.ROUTING, at=now, detail=words, about="no rule")
        outside = one.outside.total()
        if one.answers >= MINIMUM and outside > MOST_OUTSIDE * one.answers:
            reasons = ", ".join(f"{count} {reason}" for reason, count in one.outside.items())
            words = (
                f"{outside} of {one.answers} studies {days} ({outside / one.answers:.1%}) are not "
                f"meant for the model: {reasons}"
            )
            yield Alarm(scanner=scanner, kind=Kind.ROUTING, at=now, detail=words, about="criteria")


def _outside(criteria: MonitoringSettings, age_band: str, implants: bool) -> str:
    """Return why a study is not meant for the model; an unknown age counts for none."""
    if implants and not criteria.includes_implants:
        return "with implants"
    if criteria.included_ages and age_band:
        lowest, highest = map(int, criteria.included_ages.split("-"))
        begin = int(age_band.rstrip("+").partition("-")[0])
        if not lowest <= begin <= highest:
            return "by age"
    return ""
