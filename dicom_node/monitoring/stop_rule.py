"""When the results of a node are to be held: a sentence such as ``flag_rate > 0.25 for 3 days``.

A day counts if the answers of it meet the sentence; days without enough answers count neither way.
It is met once so many of the last days that count meet it, without one between that does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from dicom_node.settings.operation.monitoring import STOP_SENTENCE

LEAST_ANSWERS: Final = 10
"""Answers of a day below which its shares say nothing."""


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
    """Read a sentence of the settings.

    Raises
    ------
    ValueError
        It is none.
    """
    match = STOP_SENTENCE.fullmatch(sentence)
    if match is None:
        raise ValueError(f"{sentence!r} is no stop rule")
    return StopRule(
        measure=match["measure"],
        is_above=match["sign"] == ">",
        limit=float(match["limit"]),
        days=int(match["days"]),
    )
