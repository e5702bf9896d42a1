"""Ways of training side by side: each figure's mean over seeds, and its paired difference."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from training.measures.intervals import CONFIDENCE
from training.whole_file import write_whole

Figures = dict[str, float]
"""A model's figures by task, setting and measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far a way is above the baseline with the same seeds, and the interval of that."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Tell whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The figures of every way, one set of them a seed, in the order of the seeds."""

    made_with: Mapping[str, str]
    baseline: str
    figures: Mapping[str, Sequence[Figures]]

    def names(self) -> list[str]:
        """Return the figures that every model has."""
        sets = [found for runs in self.figures.values() for found in runs]
        return [name for name in sets[0] if all(name in found for found in sets)]

    def of(self, way: str, name: str) -> list[float]:
        """Return a figure of a way, seed by seed."""
        return [found[name] for found in self.figures[way]]

    def difference(self, way: str, name: str) -> Difference:
        """Return how far a way is above the baseline; with one seed there is no interval."""
        return paired_difference(self.of(way, name), self.of(self.baseline, name))

    def as_markdown(self) -> str:
        """Return the comparison as tables."""
        others = [way for way in self.figures if way != self.baseline]
        lines = ["| made with | |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in self.made_with.items()]
        heads = ["figure", self.baseline]
        heads += [word for way in others for word in (way, "difference (95 % over seeds)")]
        lines += ["", _row(heads), _row(["---"] * len(heads))]
        for name in self.names():
            cells = [name, _cell(_mean(self.of(self.baseline, name)), ".3f")]
            for way in others:
                told = self.difference(way, name)
                interval = "" if math.isnan(told.low) else f" ({told.low:+.3f} to {told.high:+.3f})"
                mark = " *" if told.is_clear else ""
                mean = _cell(_mean(self.of(way, name)), ".3f")
                cells += [mean, f"{_cell(told.value, '+.3f')}{interval}{mark}"]
            lines.append(_row(cells))
        lines += ["", "\\* The interval leaves out 0. One in twenty does so by chance."]
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as plain values; what cannot be computed is null."""
        plain = {
            way: [
                {name: value if math.isfinite(value) else None for name, value in run.items()}
                for run in runs
            ]
            for way, runs in self.figures.items()
        }
        return {"made_with": dict(self.made_with), "baseline": self.baseline, "figures": plain}


def paired_difference(own: Sequence[float], others: Sequence[float]) -> Difference:
    """Return the mean difference of pairs, with Student's interval of their mean."""
    pairs = np.asarray(own, np.float64) - np.asarray(others, np.float64)
    value = float(pairs.mean())
    if len(pairs) < 2:
        return Difference(value=value, low=math.nan, high=math.nan)
    error = float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
    reach = error * float(student.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1))
    return Difference(value=value, low=value - reach, high=value + reach)


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.md`` and ``comparison.json`` into a folder."""
    write_whole(folder / "comparison.md", comparison.as_markdown())
    text = json.dumps(comparison.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / "comparison.json", text + "\n")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _cell(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
