"""ROC, precision-recall and calibration curves as PNG files."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from training.downstream.task_figures import Curves
from training.measures.score_measures import (
    auroc,
    average_precision,
    calibration_bins,
    expected_calibration_error,
)
from training.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_DOTS_PER_INCH: Final = 110
_SIDE: Final = 4.6


def write_plots(curves: Curves, folder: Path) -> list[Path]:
    """Write ``roc.png``, ``precision-recall.png`` and ``calibration.png``.

    What has only one class has no curve and is left out; where nothing is left, nothing is
    written.
    """
    drawable = {name: one for name, one in curves.items() if len(np.unique(one.labels)) == 2}
    if not drawable:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "roc.png": _roc,
        "precision-recall.png": _precision_recall,
        "calibration.png": _calibration,
    }
    return [_write(folder / name, draw, drawable) for name, draw in kinds.items()]


def _write(path: Path, draw: "Callable[[Axes, Curves], None]", curves: Curves) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_SIDE, _SIDE), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.grid(alpha=0.25)
    draw(axes, curves)
    axes.legend(fontsize="small", loc="best")
    with whole_file(path) as stream:
        figure.savefig(stream, dpi=_DOTS_PER_INCH, format="png")
    return path


def _roc(axes: "Axes", curves: Curves) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    for name, one in curves.items():
        false, true, _ = roc_curve(one.labels, one.scores)
        axes.plot(false, true, label=f"{name}: AUROC {auroc(one.labels, one.scores):.3f}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity")


def _precision_recall(axes: "Axes", curves: Curves) -> None:
    for name, one in curves.items():
        precision, recall, _ = precision_recall_curve(one.labels, one.scores)
        figure = average_precision(one.labels, one.scores)
        words = f"{name}: AP {figure:.3f}, positive {one.labels.mean():.2f}"
        axes.plot(recall, precision, label=words)
    axes.set(xlabel="sensitivity (recall)", ylabel="precision")


def _calibration(axes: "Axes", curves: Curves) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    for name, one in curves.items():
        table = calibration_bins(one.labels, one.probabilities)
        error = expected_calibration_error(one.labels, one.probabilities)
        axes.plot(table[:, 0], table[:, 1], marker="o", markersize=3, label=f"{name}: {error:.3f}")
    axes.set(xlabel="probability given", ylabel="share of positives")
