"""When the results of a node are to be held: a sentence such as ``flag_rate > 0.25 for 3 days``.

A day counts if the answers of it meet the sentence; days without enough answers count neither way.
It is met once so many of the last days that count meet it, without one between that does not.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

LEAST_ANSWERS: Final = 10
"""Answers of a day below which its shares say nothing."""

MEASURES: Final[Mapping[str, str]] = {
    "flag_rate": "share of studies with a finding above its threshold",
    "left_out_rate": "share of studies of which an image has no answer",
    "late_rate": "share of studies answered later than they should be",
}

_SENTENCE: Final = re.compile(
    r"\s*(?P<measure>[a-z_]+)\s*(?P<sign>[<>])\s*(?P<limit>[0-9]*\.?[0-9]+)\s+for\s+"
    r"(?P<days>[0-9]{1,3})\s+days?\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfAnswers:
    """One day's answers.

    Attributes
    ----------
    counted : of each measure, how many answers count for it
    """

    day: date
    answers: int
    counted: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """One sentence of ``monitoring.stop_when``."""

    measure: str
    is_above: bool
    limit: float
    days: int

    def in_words(self) -> str:
        """Return the sentence."""
        sign = ">" if self.is_above else "<"
        unit = "day" if self.days == 1 else "days"
        return f"{self.measure} {sign} {self.limit:g} for {self.days} {unit}"

    def met_by(self, days: Iterable[DayOfAnswers]) -> date | None:
        """Return the first day on which the sentence is met; None if it never is.

        Parameters
        ----------
        days : in their order
        """
        meeting = 0
        for one in days:
            if one.answers < LEAST_ANSWERS:
                continue
            share = one.counted.get(self.measure, 0) / one.answers
            meets = share > self.limit if self.is_above else share < self.limit
            meeting = meeting + 1 if meets else 0
            if meeting >= self.days:
                return one.day
        return None


def stop_rule(sentence: str) -> StopRule:
    """Read a sentence.

    Raises
    ------
    ValueError
        It is none; the message shows one.
    """
    match = _SENTENCE.fullmatch(sentence)
    if match is None or match["measure"] not in MEASURES or int(match["days"]) < 1:
        raise ValueError(
            f"{sentence!r} is no stop rule: write for example 'flag_rate > 0.25 for 3 days', with "
            f"one of {', '.join(MEASURES)}"
        )
    limit = float(match["limit"])
    if not 0 <= limit <= 1:
        raise ValueError(f"{sentence!r}: {limit:g} is no share between 0 and 1")
    return StopRule(
        measure=match["measure"],
        is_above=match["sign"] == ">",
        limit=limit,
        days=int(match["days"]),
    )
