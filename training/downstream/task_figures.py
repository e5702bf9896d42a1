"""What is said of one task in one setting: figures, subgroups and curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from training.data.table_mapping import UNKNOWN
from training.downstream.cases import Cases, Judged
from training.downstream.labelled_images import DENSITIES, LabelledImages
from training.downstream.tasks import Task
from training.measures.figures import Figure, Subgroup
from training.measures.intervals import Estimate, bootstrap
from training.measures.score_measures import (
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    expected_calibration_error,
    macro_f1,
    quadratic_kappa,
)

if TYPE_CHECKING:
    import pandas as pd

Measure = Callable[..., float]

CALIBRATION: Final = "calibration error"
_OF_SCORES: Final[Mapping[str, Measure]] = {
    "AUROC": auroc,
    "average precision": average_precision,
    CALIBRATION: expected_calibration_error,
}
_AGES: Final = (0, 50, 60, 70, 200)
_LEAST_CASES: Final = 2
_MOST_VALUES: Final = 12
"""Subgroups by machine: only the commonest machines."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """Answers to a yes-or-no question, by whatever gave them.

    Attributes
    ----------
    labels : (N,) of 0 or 1
    scores : (N,)
        What ranks the cases.
    probabilities : (N,), [0, 1]
        The scores, calibrated where that could be done: a calibration on few cases may say the
        same of all, and ranks nothing then.
    """

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]


Curves = Mapping[str, Curve]
"""By name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskResult:
    """What was measured of one task.

    Attributes
    ----------
    curves : by setting, of a yes-or-no task
    """

    figures: Sequence[Figure] = ()
    subgroups: Sequence[Subgroup] = ()
    curves: Curves = field(default_factory=dict)


def _measures_of(task: Task) -> Mapping[str, Measure]:
    """Return what a task is measured by, the most important first."""
    if not task.is_class_set:
        return _OF_SCORES
    classes = range(task.outputs)
    return {
        "accuracy": accuracy,
        "balanced accuracy": balanced_accuracy,
        "macro F1": lambda labels, answers: macro_f1(labels, answers, classes),
        "quadratic kappa": lambda labels, answers: quadratic_kappa(labels, answers, classes),
    }


def joined(parts: Sequence[TaskResult]) -> TaskResult:
    """Join the results of several settings."""
    return TaskResult(
        figures=[figure for part in parts for figure in part.figures],
        subgroups=[one for part in parts for one in part.subgroups],
        curves={setting: curve for part in parts for setting, curve in part.curves.items()},
    )


def figures_of(
    task: Task,
    setting: str,
    published: Judged | None,
    honest: Judged | None,
    *,
    repeats: int,
    remark: str = "",
) -> list[Figure]:
    """Return every measure of a task, each in both ways; the first one has the remark."""
    known = honest or published
    anchor = "" if known is None else _anchor(task, known)
    columns = [
        None if one is None else estimates(task, one, repeats) for one in (published, honest)
    ]
    return [
        Figure(
            task=task.name,
            setting=setting,
            measure=name,
            as_published=columns[0][name] if columns[0] else None,
            honest=columns[1][name] if columns[1] else None,
            remark="; ".join(words for words in (anchor, remark) if words) if place == 0 else "",
        )
        for place, name in enumerate(_measures_of(task))
    ]


def estimates(task: Task, judged: Judged, repeats: int) -> dict[str, Estimate]:
    """Return each measure of a task with its interval, patients being drawn."""
    said = judged.scores.argmax(axis=1) if task.is_class_set else judged.scores[:, 0]
    groups = judged.patients.astype(str)
    return {
        name: bootstrap(measure, judged.labels, said, groups=groups, repeats=repeats)
        for name, measure in _measures_of(task).items()
    }


def subgroups_of(
    data: LabelledImages,
    task: Task,
    setting: str,
    *,
    cases: Cases,
    scores: NDArray[np.float64],
    repeats: int,
) -> list[Subgroup]:
    """Return the first measure of a task on parts of the images, by what the table says of them.

    As over all images, those of a part that belong to one breast are judged together where the
    task is judged by breast.

    Parameters
    ----------
    cases : rows of images, with scores (N, outputs)
    """
    name, measure = next(iter(_measures_of(task).items()))
    frame = data.images.iloc[cases.images]
    found = []
    for by, values in _parts(frame).items():
        kinds, counts = np.unique(values, return_counts=True)
        commonest = kinds[np.argsort(-counts, kind="stable")][:_MOST_VALUES]
        for value in sorted(set(commonest) - {""}):
            rows = values == value
            judged = cases.part(rows).joined(scores[rows])
            if len(judged.labels) < _LEAST_CASES:
                continue
            said = judged.scores.argmax(axis=1) if task.is_class_set else judged.scores[:, 0]
            estimate = bootstrap(
                measure,
                judged.labels,
                said,
                groups=judged.patients.astype(str),
                repeats=repeats,
            )
            found.append(
                Subgroup(
                    task=f"{task.name}, {setting}",
                    by=by,
                    value=str(value),
                    measure=name,
                    estimate=estimate,
                )
            )
    return found


def curves_of(task: Task, setting: str, judged: Judged, fitted: Judged) -> Curves:
    """Return the curve of a yes-or-no task by its setting; a class set has none."""
    if task.is_class_set:
        return {}
    curve = Curve(
        labels=judged.labels.astype(bool),
        scores=judged.scores[:, 0],
        probabilities=fitted.scores[:, 0],
    )
    return {setting: curve}


def _parts(frame: "pd.DataFrame") -> dict[str, NDArray[np.str_]]:
    """Return the groupings of images; what is not known is empty."""
    ages = np.array(frame["age"], dtype=np.float64)
    bins = np.digitize(np.nan_to_num(ages, nan=-1.0), _AGES)
    names = ["", f"under {_AGES[1]}"]
    names += [f"{low} to {high - 1}" for low, high in pairwise(_AGES[1:-1])]
    names += [f"{_AGES[-2]} and over", ""]
    densities = np.array(frame["density"], dtype=np.int64)
    return {
        "view": np.array(frame["view"], dtype=str),
        "density": np.array(["" if one == UNKNOWN else DENSITIES[one] for one in densities]),
        "machine": np.array(frame["machine"], dtype=str),
        "age": np.array([names[one] for one in bins]),
    }


def _anchor(task: Task, judged: Judged) -> str:
    """Say what a figure must be held against."""
    labels = judged.labels
    if not len(labels):
        return ""
    if task.is_class_set:
        share = np.bincount(labels).max() / len(labels)
        return f"always the commonest class: accuracy {share:.3f}"
    return f"{int(labels.sum())} positive"
