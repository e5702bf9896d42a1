"""The figures of several held-out seeds in one row each: their mean, and its interval."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from training.evaluation.comparison_table import paired_difference
from training.measures.figures import Figure

_SEED: Final = re.compile(r" of seed (\d+),")


def table_over_seeds(figures: Sequence[Figure]) -> list[str]:
    """Return the lines of a Markdown table; empty where no figure is of more than one seed.

    The interval, 95 %, is Student's over seeds: it holds what other phantoms of the same kind would
    change, and nothing of what other training would.
    """
    seeds: dict[tuple[str, str, str], dict[str, float]] = {}
    for figure in figures:
        found = _SEED.search(figure.task)
        if found and figure.honest is not None and np.isfinite(figure.honest.value):
            name = (_SEED.sub(",", figure.task), figure.setting, figure.measure)
            seeds.setdefault(name, {})[found.group(1)] = figure.honest.value
    rows = [
        (*name, *_mean_and_interval(list(values.values())), len(values))
        for name, values in seeds.items()
        if len(values) > 1
    ]
    if not rows:
        return []
    return [
        "| task | model | measure | mean over seeds (95 % interval) | seeds |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {task} | {setting} | {measure} | {mean:.3f} ({low:.3f} to {high:.3f}) | {count} |"
            for task, setting, measure, mean, low, high, count in rows
        ),
    ]


def _mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    told = paired_difference(values, [0.0] * len(values))
    return told.value, told.low, told.high
