"""Looks at the answers that came since the last look: alarms, silences, and stop rules."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final

import structlog
from sqlalchemy import func, select

from dicom_node.audit.acts import Act, Deed, Outcome
from dicom_node.audit_trail import enter
from dicom_node.drift import truth_watch
from dicom_node.drift.adherence import outside_of, routing_alarms
from dicom_node.drift.channels import channels_of
from dicom_node.monitoring.alarms import Alarm
from dicom_node.monitoring.scanner_watch import ScannerWatch
from dicom_node.monitoring.stop_rule import DayOfAnswers, stop_rule
from dicom_node.settings.operation.monitoring import TRUTH_MEASURES
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.pauses import Paused, pause, pauses
from dicom_node.studies.ledger.monitoring import alarm_book
from dicom_node.studies.ledger.monitoring.notes import notes, observation_of
from dicom_node.studies.ledger.monitoring.tables import MonitorNote, ReferenceReset
from dicom_node.studies.ledger.monitoring.truths import known_answers, newest_assessment

log = structlog.get_logger("dicom_node.drift")

_HISTORY: Final = timedelta(weeks=60)
"""Answers that are looked at when a node starts: a year, and the reference before it."""

_OVERLAP: Final = 200
"""Numbers before the newest that are looked at again: of workers that finish at once, the one that
took the lower number may commit last. More than there are workers."""

_CRITERIA: Final = timedelta(weeks=4)
"""Answers older than this when a node starts are not judged by today's inclusion criteria."""

_STOP_DAYS: Final = timedelta(days=120)

BY_RULE: Final = "the stop rule"
"""Who pauses results when a stop rule is met."""


@dataclass(slots=True)
class DriftRounds:
    """What one node has seen of the answers so far.

    Parameters
    ----------
    zone : of the site
    is_calibrated : tells whether the scores of the bundle in use are probabilities
    """

    settings: Settings
    database: Database
    zone: tzinfo
    is_calibrated: Callable[[], bool] = bool
    watches: dict[str, ScannerWatch] = field(default_factory=dict)
    _state: tuple[int, int] = (0, 0)
    _resets: dict[str, list[datetime]] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=set)
    _truth: int = 0

    def step(self) -> int:
        """Look once; return how many alarms are new."""
        if not self.settings.monitoring.enabled:
            return 0
        now = self.database.now()
        before = self._state
        found = list(self._of_new_answers(now))
        if self._state != before:
            with self.database.reading() as session:
                found += routing_alarms(session, self.settings, now=now)
        found += self._of_new_truth(now)
        if self.settings.monitoring.silence:
            silences = (watch.silence(now) for watch in self.watches.values())
            found += [alarm for alarm in silences if alarm is not None]
        count = sum(self._entered(alarm, now) for alarm in found)
        return count + self._stopped(now)

    def _of_new_answers(self, now: datetime) -> Iterator[Alarm]:
        seen, resets = self._state
        with self.database.reading() as session:
            newest = session.scalar(select(func.max(MonitorNote.id))) or 0
            newest_reset = session.scalar(select(func.max(ReferenceReset.id))) or 0
            if newest == seen and newest_reset == resets:
                return
            if newest_reset != resets or not seen:
                # From the beginning: where a reference began anew, all after it is another.
                self.watches, seen, self._taken = {}, 0, set()
                self._resets = alarm_book.reference_resets(session)
            found = notes(session, since=now - _HISTORY, after=max(seen - _OVERLAP, 0))
            fresh = (row for row in found if row.id not in self._taken)
            yield from self._watched(fresh, judged_since=now - _CRITERIA)
        self._taken = {number for number in self._taken if number > newest - _OVERLAP}
        self._state = newest, newest_reset

    def _of_new_truth(self, now: datetime) -> list[Alarm]:
        with self.database.reading() as session:
            newest = newest_assessment(session)
            if newest == self._truth:
                return []
            self._truth = newest
            if not self.is_calibrated():
                return []
            known = known_answers(session, since=now - truth_watch.LOOKED_BACK)
        alarm = truth_watch.calibration_alarm(known, now=now)
        return [] if alarm is None else [alarm]

    def _watched(self, rows: Iterable[MonitorNote], *, judged_since: datetime) -> Iterator[Alarm]:
        late = self.settings.monitoring.late_after_minutes * 60
        for row in rows:
            self._taken.add(row.id)
            one = observation_of(row, late_after_seconds=late)
            if row.at >= judged_since:
                why = outside_of(self.settings.monitoring, row.age_band, implants=row.implants)
                one = replace(one, outside=why)
            scanner = one.equipment.scanner
            watch = self.watches.get(scanner)
            if watch is None:
                watch = self.watches[scanner] = ScannerWatch(scanner=scanner, zone=self.zone)
            waiting = self._resets.get(scanner, [])
            while waiting and waiting[0] <= one.at:
                waiting.pop(0)
                watch.restart()
            yield from watch.add(one)

    def _entered(self, alarm: Alarm, now: datetime) -> bool:
        with self.database.writing() as session:
            if not alarm_book.enter_alarm(session, alarm, noticed_at=now):
                return False
            subject = f"{alarm.kind.value} {alarm.scanner} {alarm.at:%Y-%m-%d %H:%M}"
            channels = channels_of(self.settings.alerts)
            alarm_book.enter_alerts(session, channels, subject, alarm.detail, at=now)
        log.warning("drift_alarm", kind=alarm.kind.value, detail=f"{alarm.scanner}: {alarm.detail}")
        return True

    def _stopped(self, now: datetime) -> bool:
        rules = [stop_rule(sentence) for sentence in self.settings.monitoring.stop_when]
        if not rules:
            return False
        with self.database.writing() as session:
            last = alarm_book.last_stop(session)
            if any(one.kind is Paused.RESULTS for one in pauses(session)):
                if last is not None:
                    last.noticed_at = now  # what comes while it holds is no reason to hold again
                return False
            since = max(last.noticed_at, now - _STOP_DAYS) if last else now - _STOP_DAYS
            days = days_of(
                notes(session, since=since),
                self.zone,
                late_after_seconds=self.settings.monitoring.late_after_minutes * 60,
            )
            of_truth = [one for one in rules if one.measure in TRUTH_MEASURES]
            of_days = [one for one in rules if one not in of_truth]
            met = [(rule, day) for rule in of_days if (day := rule.met_by(days)) is not None]
            known = known_answers(session, since=since) if of_truth else []
            today = now.astimezone(self.zone).date()
            met += [(one, today) for one in of_truth if truth_watch.is_met(one, known, now=now)]
            if not met:
                return False
            rule, day = met[0]
            words = rule.in_words()
            pause(session, Paused.RESULTS, "", reason=words, paused_by=BY_RULE, at=now)
            alarm_book.enter_stop(session, words, day, at=now)
            body = f"{words}: met on {day}. Results are held until 'mammoclip-node resume results'."
            channels = channels_of(self.settings.alerts)
            alarm_book.enter_alerts(session, channels, f"results held {now}", body, at=now)
        deed = Deed(
            at=now,
            who="node",
            via="node",
            act=Act.STOP_RULE,
            outcome=Outcome.DONE,
            detail=f"{words}: results are held",
        )
        enter(self.settings, self.database, deed)
        log.error("results_held", reason=words)
        return True


def days_of(
    rows: Iterable[MonitorNote], zone: tzinfo, *, late_after_seconds: float
) -> list[DayOfAnswers]:
    """Count the answers of each day of the site."""
    found: dict[object, list[MonitorNote]] = {}
    for row in rows:
        found.setdefault(row.at.astimezone(zone).date(), []).append(row)
    return [
        DayOfAnswers(
            day=of[0].at.astimezone(zone).date(),
            answers=len(of),
            counted={
                "flag_rate": sum(row.flagged for row in of),
                "left_out_rate": sum(row.left_out > 0 for row in of),
                "late_rate": sum(row.seconds > late_after_seconds for row in of),
            },
        )
        for _, of in sorted(found.items(), key=lambda one: str(one[0]))
    ]
