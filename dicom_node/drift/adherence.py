"""Alarms on routing: studies that no rule took, and those that are not meant for the model."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.monitoring.alarms import Alarm, Kind
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.settings.operation.monitoring import MonitoringSettings
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.tables import Analysis

LOOKED_BACK: Final = timedelta(days=7)
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
        if reason := outside_of(settings.monitoring, age_band, implants=implants):
            one.outside[reason] += count
    return found


def routing_alarms(session: Session, settings: Settings, *, now: datetime) -> Iterator[Alarm]:
    """Yield an alarm for each scanner of whose last days' studies no rule took one.

    That is a fact and no chance. How many are outside of the criteria is a share, which the watch
    of the scanner looks at (`dicom_node.monitoring.criteria_watch`).
    """
    days = f"of the last {LOOKED_BACK.days} days"
    for scanner, one in adherence(session, settings, since=now - LOOKED_BACK).items():
        if one.no_rule:
            words = f"{one.no_rule} of {one.answers} studies {days} were taken by no rule"
            yield Alarm(scanner=scanner, kind=Kind.ROUTING, at=now, detail=words, about="no rule")


def outside_of(criteria: MonitoringSettings, age_band: str, *, implants: bool) -> str:
    """Return why a study is not meant for the model; an unknown age counts for none."""
    if implants and not criteria.includes_implants:
        return "with implants"
    if criteria.included_ages and age_band:
        lowest, highest = map(int, criteria.included_ages.split("-"))
        begin = int(age_band.rstrip("+").partition("-")[0])
        if not lowest <= begin <= highest:
            return "by age"
    return ""
