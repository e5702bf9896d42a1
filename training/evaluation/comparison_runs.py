"""Models of several ways by several seeds, in a folder that a killed comparison takes up."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from training.errors import SettingsError
from training.evaluation.comparison_table import Comparison, Figures, write_comparison
from training.terminal import NOTHING_SAID, Say
from training.whole_file import write_whole

BASELINE: Final = "baseline"
"""The way that the others are held against: pretraining as the common settings say."""

_ORDER_NAME: Final = "order.json"

Judge = Callable[[str, int, Path], Figures]
"""Trains and judges one model: a way's arguments, its seed, and the folder for what is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Which models are compared, and where they lie.

    Attributes
    ----------
    ways : further arguments of ``pretrain`` by name
    seeds : models of each way; an interval needs two
    facts : what all models have in common, by name
        A folder takes no models of other facts.
    way_facts : what a way depends on besides its arguments, by the way's name
    """

    ways: Mapping[str, str]
    seeds: int
    out: Path
    facts: Mapping[str, str]
    way_facts: Mapping[str, str] = field(default_factory=dict)
    say: Say = field(default=NOTHING_SAID)


def ways_of(texts: Sequence[str]) -> dict[str, str]:
    """Read ways as a command takes them, NAME=ARGUMENTS; raises ValueError."""
    ways: dict[str, str] = {}
    for text in texts:
        name, separator, arguments = text.partition("=")
        is_word = name.replace("-", "").replace("_", "").isalnum()
        if not separator or not is_word or name in {*ways, BASELINE}:
            raise ValueError(
                f"{text}: give NAME=ARGUMENTS, with a name of letters, digits, - and _ that is "
                f"used once and is not {BASELINE}"
            )
        ways[name] = arguments
    return ways


def compare_runs(runs: Runs, judge: Judge, made_with: Mapping[str, str]) -> Comparison:
    """Train and judge every way by every seed, and write the table of differences.

    A killed run goes on by the same call; models that were judged are not trained again.

    Parameters
    ----------
    made_with : what the table says of the data and of how models are judged

    Raises
    ------
    SettingsError
        The folder holds a comparison of something else.
    """
    _agree(runs)
    figures: dict[str, list[Figures]] = {}
    ways = {BASELINE: "", **runs.ways}
    for seed in range(1, runs.seeds + 1):
        for way, arguments in ways.items():
            runs.say(f"{way}, seed {seed} of {runs.seeds}")
            folder = runs.out / f"{way}-{seed}"
            figures.setdefault(way, []).append(_judged(judge, arguments, seed, folder))
    comparison = Comparison(
        made_with={
            **made_with,
            **{way: arguments or "the settings" for way, arguments in ways.items()},
            "seeds": f"{runs.seeds}: order of the data, augmentation, first weights",
        },
        baseline=BASELINE,
        figures=figures,
    )
    write_comparison(comparison, runs.out)
    return comparison


def _agree(runs: Runs) -> None:
    """Refuse a folder of another comparison: its models would stand among these."""
    path = runs.out / _ORDER_NAME
    own = {
        name: f"{arguments} {runs.way_facts.get(name, '')}".rstrip()
        for name, arguments in runs.ways.items()
    }
    if not path.is_file():
        write_whole(path, json.dumps({"facts": dict(runs.facts), "ways": own}))
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    differing = [name for name, value in runs.facts.items() if known["facts"].get(name) != value]
    changed = [name for name, value in known["ways"].items() if own.get(name, value) != value]
    if differing or changed:
        raise SettingsError(
            f"{runs.out} holds a comparison with other {', '.join([*differing, *changed])}: "
            "choose another --out"
        )
    ways = {**known["ways"], **own}
    write_whole(path, json.dumps({"facts": dict(runs.facts), "ways": ways}))


def _judged(judge: Judge, arguments: str, seed: int, folder: Path) -> Figures:
    """Return the figures of one model, trained and judged if it was not."""
    kept = folder / "figures.json"
    if kept.is_file():
        known: dict[str, float | None] = json.loads(kept.read_text(encoding="utf-8"))
        return {name: math.nan if value is None else value for name, value in known.items()}
    found = judge(arguments, seed, folder)
    plain = {name: value if math.isfinite(value) else None for name, value in found.items()}
    write_whole(kept, json.dumps(plain))
    return found
