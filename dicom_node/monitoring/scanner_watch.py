"""Watches the answers to one scanner's images: a reference first, then charts against it."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from dicom_node.monitoring.alarms import FALSE_ALARMS, Alarm, Kind
from dicom_node.monitoring.criteria_watch import CriteriaWatch
from dicom_node.monitoring.embedding_distance import EmbeddingReference
from dicom_node.monitoring.intervals import wilson
from dicom_node.monitoring.observation import Observation
from dicom_node.monitoring.pixel_watch import PixelWatch
from dicom_node.monitoring.proportion_chart import ProportionChart
from dicom_node.monitoring.rhythm import NEVER, Limits, Rhythm, rhythm_of
from dicom_node.monitoring.windows import WINDOW, WindowedComparison

REFERENCE: Final = 1000
"""Answers that a scanner is compared with; until there are so many, nothing is compared."""

_ODDS_RATIO: Final = 2.5
"""A flag rate of 13 % that has become one of 27 %, or of 6 %."""

_ODDS_RATIO_OF_RARE: Final = 4.0
"""Shares that should be near 0, of which half a per cent more is no matter."""

_RHYTHM_WEEKS: Final = 26
_LEARNT_ANEW_EVERY: Final = timedelta(days=7)
_NOT_AGAIN_WITHIN: Final = timedelta(days=7)
"""What lasts is told once a week."""

_LEAST_REFERENCE: Final = 100
_LEAST_YEARLY: Final = 500.0


@dataclass(slots=True)
class _Charts:
    """What an answer is compared by, once there is a reference."""

    rates: dict[Kind, ProportionChart]
    scores: dict[str, WindowedComparison]
    embeddings: WindowedComparison | None
    embedding_reference: EmbeddingReference | None
    asymmetry: WindowedComparison | None
    unflagged: list[float]


@dataclass(slots=True)
class ScannerWatch:
    """Takes the answers of one scanner in the order of their time, and raises alarms.

    Parameters
    ----------
    scanner : manufacturer, model and serial number
    zone : the site's, for the hours at which studies come
    reference : answers that are the reference
    """

    scanner: str
    zone: tzinfo = UTC
    reference: int = REFERENCE
    times: deque[datetime] = field(default_factory=deque)
    rhythm: Rhythm | None = None
    recent: deque[tuple[bool, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _silence: Limits = NEVER
    _learnt_at: datetime | None = None
    _software: set[str] = field(default_factory=set)
    _answers: str | None = None
    _kept: list[Observation] = field(default_factory=list)
    _charts: _Charts | None = None
    _raised: dict[tuple[Kind, str], datetime] = field(default_factory=dict)
    _criteria: CriteriaWatch = field(default_factory=CriteriaWatch)
    _pixels: PixelWatch = field(init=False)

    def __post_init__(self) -> None:
        self._pixels = PixelWatch(reference=self.reference)

    def add(self, one: Observation) -> list[Alarm]:
        """Enter an answer; return what it raises."""
        return [alarm for alarm in self._raised_by(one) if self._is_new(alarm)]

    def restart(self) -> None:
        """Take what comes from now on for the reference, as a person has decided."""
        self._forget_answers()
        self._pixels.restart()

    def _forget_answers(self) -> None:
        self._kept, self._charts = [], None

    @property
    def flag_rate_of_reference(self) -> tuple[int, int] | None:
        """Return how many answers of the reference are flagged, and of how many."""
        if self._charts is None:
            return None
        chart = self._charts.rates[Kind.FLAG_RATE_ROSE]
        return chart.count, chart.of

    def silence(self, now: datetime) -> Alarm | None:
        """Return an alarm if nothing has come for longer than chance would have it."""
        if self.rhythm is None or not self.times:
            return None
        last = self.times[-1]
        if not self.rhythm.is_reached(last, now, self._silence):
            return None
        missed = self.rhythm.expected(last, now)
        return self._silent(last, self.rhythm.reached(last, self._silence), missed)

    def _raised_by(self, one: Observation) -> Iterator[Alarm]:
        yield from self._events(one)
        if self.times and self.rhythm is not None:
            last = self.times[-1]
            if self.rhythm.is_reached(last, one.at, self._silence):
                at = self.rhythm.reached(last, self._silence)
                missed = self.rhythm.expected(last, one.at)
                yield self._silent(last, min(at, one.at), missed)
        self._note_time(one.at)
        if words := self._criteria.add(one.outside):
            yield self._alarm(Kind.ROUTING, one.at, words, about="criteria")
        false_alarms = FALSE_ALARMS[Kind.PIXELS] / self._yearly()
        for name, words in self._pixels.add(one.pixels, false_alarms=false_alarms):
            yield self._alarm(Kind.PIXELS, one.at, words, about=name)
        if self._charts is None:
            self._kept.append(one)
            if len(self._kept) >= self.reference:
                self._charts, self._kept = self._charts_of(self._kept), []
            return
        yield from self._compared(self._charts, one)

    def _events(self, one: Observation) -> Iterator[Alarm]:
        software = one.equipment.software
        if not self._software:
            yield self._alarm(Kind.NEW_SCANNER, one.at, f"first answer; software {software}")
        elif software not in self._software:
            words = f"software {software} for the first time: equipment has changed"
            yield self._alarm(Kind.NEW_SOFTWARE, one.at, words, about=software)
        self._software.add(software)
        if self._answers is not None and one.answers != self._answers:
            # Scores of two bundles, or by two thresholds, are not comparable.
            self._forget_answers()
            words = "answers by another bundle, other settings or thresholds: a new reference"
            yield self._alarm(Kind.NEW_ANSWERS, one.at, words, about=one.answers)
        self._answers = one.answers

    def _compared(self, charts: _Charts, one: Observation) -> Iterator[Alarm]:
        score = max(one.scores.values(), default=0.0)
        self.recent.append((one.flagged, score))
        counted = {
            Kind.FLAG_RATE_ROSE: one.flagged,
            Kind.FLAG_RATE_FELL: one.flagged,
            Kind.LEFT_OUT: one.left_out,
            Kind.LATE: one.late,
        }
        for kind, chart in charts.rates.items():
            if chart.add(counted[kind]):
                yield self._alarm(kind, one.at, self._rate_in_words(kind, chart, charts))
        for name, comparison in charts.scores.items():
            if name in one.scores and (words := comparison.add(one.scores[name])):
                yield self._alarm(Kind.SCORES, one.at, f"scores of {name}: {words}", about=name)
        if charts.embeddings and charts.embedding_reference and one.embedding:
            distance = charts.embedding_reference.distance(one.embedding)
            if words := charts.embeddings.add(distance):
                yield self._alarm(Kind.EMBEDDINGS, one.at, f"the images look otherwise: {words}")
        if (
            charts.asymmetry
            and one.asymmetry is not None
            and (words := charts.asymmetry.add(one.asymmetry))
        ):
            yield self._alarm(Kind.ASYMMETRY, one.at, f"left and right differ: {words}")

    def _rate_in_words(self, kind: Kind, chart: ProportionChart, charts: _Charts) -> str:
        before = f"{chart.count / chart.of:.1%} of the reference's {chart.of}"
        if kind not in {Kind.FLAG_RATE_ROSE, Kind.FLAG_RATE_FELL}:
            return f"more than before, {before}"
        flagged = sum(one for one, _ in self.recent)
        low, high = wilson(flagged, len(self.recent))
        words = (
            f"{flagged} of the last {len(self.recent)} are flagged ({low:.1%} to {high:.1%}), "
            f"against {before}"
        )
        return f"{words}; {self._cause_in_words(charts)}"

    def _cause_in_words(self, charts: _Charts) -> str:
        """Say whether the answers below the thresholds have changed as well.

        More women with a cancer change the answers above; another image changes all of them.
        """
        below = [score for flagged, score in self.recent if not flagged]
        if len(below) < _LEAST_REFERENCE or len(charts.unflagged) < _LEAST_REFERENCE:
            return "too few answers to say why"
        probability = 0.01
        if WindowedComparison(charts.unflagged, probability).differs(below):
            return "scores below the thresholds have changed too: look at the images"
        return "scores below the thresholds are as before: perhaps other patients"

    def _charts_of(self, kept: list[Observation]) -> _Charts:
        yearly = self._yearly()
        flagged = sum(one.flagged for one in kept)
        counts = {
            Kind.FLAG_RATE_ROSE: (flagged, _ODDS_RATIO, False),
            Kind.FLAG_RATE_FELL: (flagged, _ODDS_RATIO, True),
            Kind.LEFT_OUT: (sum(one.left_out for one in kept), _ODDS_RATIO_OF_RARE, False),
            Kind.LATE: (sum(one.late for one in kept), _ODDS_RATIO_OF_RARE, False),
        }
        rates = {
            kind: ProportionChart(count, len(kept), odds, FALSE_ALARMS[kind] / yearly, falls)
            for kind, (count, odds, falls) in counts.items()
        }
        names = sorted(set().union(*(one.scores for one in kept)))
        scores = {
            name: self._comparison(
                [one.scores[name] for one in kept if name in one.scores],
                FALSE_ALARMS[Kind.SCORES] / len(names),
            )
            for name in names
        }
        embedded = [one.embedding for one in kept if one.embedding]
        near = EmbeddingReference.of(embedded) if len(embedded) > _LEAST_REFERENCE else None
        sides = [one.asymmetry for one in kept if one.asymmetry is not None]
        return _Charts(
            rates=rates,
            scores={name: one for name, one in scores.items() if one is not None},
            embedding_reference=near,
            embeddings=None
            if near is None
            else self._comparison(list(near.distances), FALSE_ALARMS[Kind.EMBEDDINGS]),
            asymmetry=self._comparison(sides, FALSE_ALARMS[Kind.ASYMMETRY]),
            unflagged=[max(one.scores.values(), default=0.0) for one in kept if not one.flagged],
        )

    def _comparison(self, values: list[float], false_alarms: float) -> WindowedComparison | None:
        if len(values) < _LEAST_REFERENCE:
            return None
        return WindowedComparison(values, false_alarms * WINDOW / self._yearly())

    def _yearly(self) -> float:
        return max(self.rhythm.yearly if self.rhythm else 0.0, _LEAST_YEARLY)

    def _note_time(self, at: datetime) -> None:
        self.times.append(at)
        if self._learnt_at is not None and at - self._learnt_at < _LEARNT_ANEW_EVERY:
            return
        while self.times[0] < at - timedelta(weeks=_RHYTHM_WEEKS):
            self.times.popleft()
        self._learnt_at = at
        self.rhythm = rhythm_of(self.times, self.zone)
        if self.rhythm is not None:
            self._silence = self.rhythm.limits(FALSE_ALARMS[Kind.SILENCE])

    def _silent(self, last: datetime, at: datetime, missed: float) -> Alarm:
        since = last.astimezone(self.zone).strftime("%Y-%m-%d %H:%M")
        words = f"nothing since {since}, when {missed:.0f} studies would have come by now"
        return self._alarm(Kind.SILENCE, at, words, about=since)

    def _is_new(self, alarm: Alarm) -> bool:
        key = alarm.kind, alarm.about
        before = self._raised.get(key)
        if before is not None and alarm.at - before < _NOT_AGAIN_WITHIN:
            return False
        self._raised[key] = alarm.at
        return True

    def _alarm(self, kind: Kind, at: datetime, detail: str, *, about: str = "") -> Alarm:
        return Alarm(scanner=self.scanner, kind=kind, at=at, detail=detail, about=about)
