"""The monthly report: twelve metrics and the inventory, as sections that become HTML or PDF."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from importlib.metadata import version

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.drift.adherence import adherence
from dicom_node.drift.image_sections import embeddings_section, pixels_section
from dicom_node.drift.outlook import MINIMUM, Group, Outlook, outlook, shifts
from dicom_node.drift.report_section import Section, shown_share
from dicom_node.drift.truth_sections import calibration_section, readers_section
from dicom_node.monitoring.agreement import Share
from dicom_node.monitoring.alarms import FALSE_ALARMS
from dicom_node.monitoring.scanner_watch import REFERENCE
from dicom_node.settings.operation.monitoring import MonitoringSettings
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.monitoring.alarm_book import alarms
from dicom_node.studies.ledger.monitoring.notes import notes
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.monitoring.threshold_sets import threshold_sets
from dicom_node.studies.ledger.monitoring.truths import KnownAnswer, decisions_of_readers
from dicom_node.studies.ledger.site_tables import CanaryRun
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Study
from mammoclip_core.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A month, or another time, of a node."""

    site: str
    since: datetime
    until: datetime
    sections: tuple[Section, ...]


def make_report(
    session: Session,
    settings: Settings,
    manifest: Manifest,
    *,
    since: datetime,
    until: datetime,
    zone: tzinfo,
    truth: Sequence[KnownAnswer],
    is_calibrated: bool,
) -> Report:
    """Make the report of some time.

    Parameters
    ----------
    manifest : of the bundle in use
    truth : the answers of this time whose truth is known
    is_calibrated : whether the scores are probabilities
    """
    late = settings.monitoring.late_after_minutes * 60
    found = outlook(notes(session, since=since, until=until), late_after_seconds=late)
    before = outlook(_reference_rows(session, since), late_after_seconds=late)
    sections = (
        _volume(found),
        _rejected(session, since, until),
        _routing(session, settings, since, until),
        _turnaround(found, settings.monitoring),
        _flag_rates(found),
        _strata(found),
        _scores(found, before),
        _alarms(session, since, until, zone),
        embeddings_section(found, _by_scanner(before)),
        pixels_section(session, found),
        _consistency(found),
        readers_section(truth, decisions_of_readers(session, since=since, until=until)),
        calibration_section(truth, is_calibrated=is_calibrated),
        _repeatability(session, since, until),
        _thresholds(session, found),
        inventory(session, settings, manifest),
    )
    return Report(site=settings.audit.source, since=since, until=until, sections=sections)


def inventory(session: Session, settings: Settings, manifest: Manifest) -> Section:
    """Return the inventory sheet (ACR-SIIM Practice Parameter 2026, IV.B, items a to j).

    Parameters
    ----------
    manifest : of the bundle in use
    """
    first = session.scalar(
        select(func.min(MonitorNote.at)).where(MonitorNote.bundle.contains(manifest.weights_sha256))
    )
    rules = ", ".join(rule.name for rule in settings.rules) or "none: all mammograms"
    to_fill = "to be entered by the site"
    rows = (
        ("a. Version", f"{manifest.name} {manifest.version} ({manifest.weights_sha256}), "
         f"mammoclip-dicom {version('mammoclip-dicom')}"),
        ("b. In use since", f"{first:%Y-%m-%d}" if first else "not used yet"),
        ("c. Intended use", f"{manifest.intended_use}. {manifest.warning}".strip()),
        ("d. Acceptance test", to_fill),
        ("e. Its results", to_fill),
        ("f. Routing and inclusion", f"rules: {rules}"),
        ("g. Conformance", "docs/interoperability.md; no claim of IHE conformance"),
        ("h. Checks for drift", "; ".join(settings.monitoring.stop_when) or
         "alarms of docs/monitoring.md, no stop rule"),
        ("i. Logging", f"log {settings.log_format}; audit.jsonl"
         + (f", sent to {settings.audit.syslog_host}" if settings.audit.syslog_host else "")),
        ("j. Contacts", ", ".join(settings.alerts.mail_to) or to_fill),
    )  # fmt: skip
    return Section(title="Inventory", columns=("item", "value"), rows=rows)


def _reference_rows(session: Session, since: datetime) -> Iterator[MonitorNote]:
    """Yield the answers that each scanner is compared with: its first thousand, before the time."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in notes(session, until=since):
        key = row.manufacturer, row.model, row.serial
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= REFERENCE:
            yield row


def _volume(found: Outlook) -> Section:
    rows = tuple(
        (scanner, week, str(group.answers))
        for (scanner, week), group in sorted(found.by_week.items())
    )
    return Section(title="1. Volume", columns=("scanner", "week", "studies answered"), rows=rows)


def _rejected(session: Session, since: datetime, until: datetime) -> Section:
    within = (Study.first_received_at >= since, Study.first_received_at < until)
    failed = session.execute(
        select(Analysis.reason, func.count(Analysis.id))
        .join(Study, Study.id == Analysis.study_id)
        .where(*within, Analysis.state == AnalysisState.FAILED)
        .group_by(Analysis.reason)
    )
    held = session.execute(
        select(Study.remark, func.count(Study.id))
        .where(*within, Study.remark != "")
        .group_by(Study.remark)
    )
    rows = tuple(
        (kind, reason, str(count))
        for kind, of in (("failed", failed), ("not analysed", held))
        for reason, count in of
    )
    total = session.scalar(select(func.count(Study.id)).where(*within)) or 0
    return Section(
        title="2. Not analysed",
        note=f"Of {total} studies received.",
        columns=("outcome", "reason", "studies"),
        rows=rows,
    )


def _routing(session: Session, settings: Settings, since: datetime, until: datetime) -> Section:
    counted = session.execute(
        select(Analysis.rule, func.count(Analysis.id))
        .join(Study, Study.id == Analysis.study_id)
        .where(Study.first_received_at >= since, Study.first_received_at < until)
        .group_by(Analysis.rule)
    )
    rows = [(rule or "default", str(count), "") for rule, count in counted]
    for scanner, one in adherence(session, settings, since=since, until=until).items():
        share = Share(count=one.no_rule, of=one.answers)
        rows.append(("taken by no rule", shown_share(share), scanner))
        outside = Share(count=one.outside.total(), of=one.answers)
        why = ", ".join(f"{count} {reason}" for reason, count in one.outside.items())
        words = f"{shown_share(outside)}{f': {why}' if why else ''}"
        rows.append(("not meant for the model", words, scanner))
    return Section(
        title="3. Routing",
        note="What no rule takes goes by the rule 'default'; where there are no rules, nothing "
        "counts for it. For whom the model is meant, [monitoring] says.",
        columns=("rule", "analyses", "scanner"),
        rows=tuple(rows),
    )


def _turnaround(found: Outlook, level: MonitoringSettings) -> Section:
    answers = sum(group.answers for group in found.by_equipment.values())
    late = sum(group.late for group in found.by_equipment.values())
    used = late / answers / (1 - level.on_time) if answers else 0.0
    rows = tuple(
        (
            equipment.in_words(),
            *(f"{group.quantile_seconds(share):.0f} s" for share in (0.5, 0.95, 0.99)),
            shown_share(Share(count=group.late, of=group.answers)),
        )
        for equipment, group in found.by_equipment.items()
        if group.is_shown
    )
    return Section(
        title="4. Turnaround",
        note=f"From the last image to the answer; late is later than {level.late_after_minutes:g} "
        f"minutes. {100 * level.on_time:g} % should not be: of what may be late, {used:.0%} was "
        "used.",
        columns=("equipment", "median", "95 %", "99 %", "late"),
        rows=rows,
    )


def _flag_rates(found: Outlook) -> Section:
    rows = [
        (equipment.in_words(), "whole time", *_rate(group))
        for equipment, group in found.by_equipment.items()
        if group.is_shown
    ]
    rows += [
        (scanner, week, *_rate(group))
        for (scanner, week), group in sorted(found.by_week.items())
        if group.is_shown
    ]
    return Section(
        title="5. Flag rate",
        note=f"Studies with a finding above its threshold, with Wilson's 95 % interval; nothing "
        f"is shown of fewer than {MINIMUM}.",
        columns=("equipment", "time", "studies", "flagged"),
        rows=tuple(rows),
    )


def _strata(found: Outlook) -> Section:
    rows = tuple(
        (kind, value, *_rate(group))
        for (kind, value), group in sorted(found.by_stratum.items())
        if group.is_shown
    )
    return Section(
        title="5b. Flag rate by group", columns=("by", "group", "studies", "flagged"), rows=rows
    )


def _scores(found: Outlook, before: Outlook) -> Section:
    reference = _by_scanner(before)
    rows = tuple(
        (
            equipment.in_words(),
            one.finding,
            f"{one.medians[0]:.4f}",
            f"{one.medians[1]:.4f}",
            f"{one.index:.3f}",
            f"{one.chance:.2g}",
        )
        for equipment, group in found.by_equipment.items()
        if equipment.scanner in reference
        for one in shifts(reference[equipment.scanner], group)
    )
    return Section(
        title="6. Scores against the reference",
        note=f"The reference are the first {REFERENCE} answers of a scanner. A PSI above 0.2 is "
        "called a shift by custom.",
        columns=("equipment", "finding", "median before", "median", "PSI", "KS p"),
        rows=rows,
    )


def _alarms(session: Session, since: datetime, until: datetime, zone: tzinfo) -> Section:
    rows = tuple(
        (row.at.astimezone(zone).strftime("%Y-%m-%d %H:%M"), row.scanner, row.kind, row.detail)
        for row in alarms(session, since=since)
        if row.at < until
    )
    return Section(
        title="7. Alarms, new equipment and software",
        note=f"False alarms of all kinds together: at most {sum(FALSE_ALARMS.values()):.1f} a year "
        "and scanner, as computed; docs/monitoring.md has what was measured.",
        columns=("time", "scanner", "kind", "what"),
        rows=rows,
    )


def _consistency(found: Outlook) -> Section:
    rows = tuple(
        (name, view, str(len(scores)), f"{sum(scores) / len(scores):.4f}")
        for (name, view), scores in sorted(found.by_view.items())
        if len(scores) >= MINIMUM
    )
    return Section(
        title="9. Left and right, CC and MLO",
        columns=("finding", "view", "images", "mean score"),
        rows=rows,
    )


def _repeatability(session: Session, since: datetime, until: datetime) -> Section:
    counted = session.execute(
        select(CanaryRun.key, func.count(CanaryRun.id), func.count(CanaryRun.scores.distinct()))
        .where(CanaryRun.began_at >= since, CanaryRun.began_at < until, CanaryRun.scores != "")
        .group_by(CanaryRun.key)
    )
    rows = tuple(
        (key[:16], str(runs), "equal" if kinds == 1 else f"{kinds} different answers")
        for key, runs, kinds in counted
    )
    return Section(
        title="12. Repeatability",
        note="" if rows else "No canary study was sent: see [canary] in the settings.",
        columns=("settings", "canary studies", "scores"),
        rows=rows,
    )


def _thresholds(session: Session, found: Outlook) -> Section:
    used = {number: count for (_, number), count in found.sets.items()}
    rows = [("bundle's own", "", "in use", "", str(used.get(0, 0)))]
    rows += [
        (str(one.number), one.equipment, one.state, f"{one.by}, {one.at:%Y-%m-%d}",
         str(used.get(one.number, 0)))
        for one in threshold_sets(session)
    ]  # fmt: skip
    return Section(
        title="Threshold sets",
        columns=("set", "equipment", "state", "by", "answers"),
        rows=tuple(rows),
    )


def _by_scanner(found: Outlook) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for equipment, group in found.by_equipment.items():
        known = groups.setdefault(equipment.scanner, Group())
        known.answers += group.answers
        known.embeddings += group.embeddings
        for name, scores in group.scores.items():
            known.scores[name] += scores
    return groups


def _rate(group: Group) -> tuple[str, str]:
    return str(group.answers), shown_share(Share(count=group.flagged, of=group.answers))


def month_before(now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return begin and end of the last whole month of the site."""
    first = now.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin = (first - timedelta(days=1)).replace(day=1)
    return begin, first
