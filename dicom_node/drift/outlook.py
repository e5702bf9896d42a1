"""The answers of some time by scanner and software, each with its flag rate and its interval."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dicom_node.monitoring.distribution import ks_p_value, stability_index
from dicom_node.monitoring.embedding_distance import EmbeddingReference
from dicom_node.monitoring.intervals import Interval, wilson
from dicom_node.monitoring.observation import Fingerprint, Observation
from dicom_node.studies.ledger.monitoring.notes import observation_of
from dicom_node.studies.ledger.monitoring.tables import MonitorNote

MINIMUM: Final = 50
"""Answers below which nothing is shown of a group: its share would say nothing, or too much."""


@dataclass(slots=True)
class Group:
    """Some answers that belong together.

    Attributes
    ----------
    seconds : from the last image to each answer
    """

    answers: int = 0
    flagged: int = 0
    left_out: int = 0
    late: int = 0
    seconds: list[int] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    asymmetries: list[float] = field(default_factory=list)
    embeddings: list[tuple[float, ...]] = field(default_factory=list)
    pixels: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, one: Observation, seconds: int) -> None:
        """Count one answer."""
        self.answers += 1
        self.flagged += one.flagged
        self.left_out += one.left_out
        self.late += one.late
        self.seconds.append(seconds)
        for name, score in one.scores.items():
            self.scores[name].append(score)
        if one.asymmetry is not None:
            self.asymmetries.append(one.asymmetry)
        if one.embedding:
            self.embeddings.append(one.embedding)
        for name, value in one.pixels.items():
            self.pixels[name].append(value)

    @property
    def is_shown(self) -> bool:
        """Tell whether there are enough answers to say something."""
        return self.answers >= MINIMUM

    @property
    def flag_rate(self) -> tuple[float, Interval]:
        """Return the share of flagged answers with its 95 % interval."""
        return self.flagged / max(self.answers, 1), wilson(self.flagged, self.answers)

    def quantile_seconds(self, share: float) -> float:
        """Return after how many seconds so large a share of answers was there; 0 of none."""
        return float(np.quantile(self.seconds, share)) if self.seconds else 0.0


@dataclass(slots=True)
class Outlook:
    """Answers of some time, grouped in every way that is shown."""

    by_equipment: dict[Fingerprint, Group] = field(default_factory=lambda: defaultdict(Group))
    by_week: dict[tuple[str, str], Group] = field(default_factory=lambda: defaultdict(Group))
    by_stratum: dict[tuple[str, str], Group] = field(default_factory=lambda: defaultdict(Group))
    by_view: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    sets: Counter[tuple[str, int]] = field(default_factory=Counter)


def outlook(rows: Iterable[MonitorNote], *, late_after_seconds: float) -> Outlook:
    """Group answers."""
    found = Outlook()
    for row in rows:
        one = observation_of(row, late_after_seconds=late_after_seconds)
        year, week, _ = row.at.isocalendar()
        groups = [
            found.by_equipment[one.equipment],
            found.by_week[one.equipment.scanner, f"{year}-W{week:02}"],
        ]
        strata = (
            ("sender", row.sender),
            ("images", row.presentation),
            ("age", row.age_band),
            ("density", row.density),
            ("implants", "yes" if row.implants else "no"),
            ("bundle", row.bundle.rsplit(" ", 1)[0]),
        )
        groups += [found.by_stratum[kind, value or "unknown"] for kind, value in strata]
        for group in groups:
            group.add(one, row.seconds)
        for name, by_view in json.loads(row.views).items():
            for view, score in by_view.items():
                found.by_view[name, view].append(float(score))
        found.sets[row.bundle, row.threshold_set] += 1
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How the scores of a group differ from those of a reference.

    Attributes
    ----------
    index : population stability index
    chance : p of Kolmogorov and Smirnov
    medians : of the reference, and of the group
    """

    finding: str
    index: float
    chance: float
    medians: tuple[float, float]


def shifts(reference: Group, group: Group) -> list[Shift]:
    """Compare the scores of a group with a reference, finding by finding."""
    found = []
    for name in sorted(reference.scores.keys() & group.scores.keys()):
        before, after = reference.scores[name], group.scores[name]
        if min(len(before), len(after)) < MINIMUM:
            continue
        found.append(
            Shift(
                finding=name,
                index=stability_index(before, after),
                chance=ks_p_value(before, after),
                medians=(float(np.median(before)), float(np.median(after))),
            )
        )
    return found


def embedding_shift(
    reference: Sequence[tuple[float, ...]], embeddings: Sequence[tuple[float, ...]]
) -> tuple[float, float]:
    """Return the median distances to the reference's mean, of the reference and of a group."""
    if min(len(reference), len(embeddings)) < MINIMUM:
        return math.nan, math.nan
    near = EmbeddingReference.of(reference)
    return (
        float(np.median(near.distances)),
        float(np.median([near.distance(one) for one in embeddings])),
    )
