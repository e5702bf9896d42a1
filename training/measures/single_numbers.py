"""What single numbers of a picture tell without any model: what phantoms must not be solved by.

Global grey values, what a high-pass leaves, and counts of bright round dots. A phantom's finding
that one of them, or a forest on all of them, tells shows nothing of a model that tells it too.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.measures.blob_detector import SIGMAS_MM, blob_scores, breast_inside

_GREY: Final = ("mean", "deviation", "percentile 5", "median", "percentile 95", "percentile 99.9")
_DETAIL: Final = ("deviation", "kurtosis", "percentile 99.9", "greatest")
_DETAIL_SIGMAS: Final = (1.0, 3.0)
_WINDOWS: Final = (41, 101)
"""Sides, in pixels of the full picture, of the windows in which dots are counted."""

_LEVELS: Final = (6.0, 12.0, 20.0)
"""What a dot must stand out by, in grey values of 255."""

_DOT_SIGMA: Final = 1.6
_DOT_ROUNDNESS: Final = 0.4
"""Least ratio of the smaller to the greater curvature of a round dot."""

NAMES: Final[Sequence[str]] = (
    *(f"grey: {name}" for name in _GREY),
    *(f"detail of {sigma:g} pixels: {name}" for sigma in _DETAIL_SIGMAS for name in _DETAIL),
    *(f"dots above {level:g}" for level in _LEVELS),
    *(f"dots above {level:g} in {side} pixels" for level in _LEVELS for side in _WINDOWS),
    *(f"blob of {sigma:g} mm" for sigma in SIGMAS_MM),
)
"""Of each number, in the order of `single_numbers`."""

GROUPS: Final = ("grey", "detail", "dots", "blob")
"""What the names begin with."""


FOREST: Final = "forest on all"
TREES: Final = 300


def single_numbers(picture: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.float64]:
    """Return the numbers of one picture, (len(NAMES),).

    Parameters
    ----------
    picture : (rows, columns) uint8
        Air dark.
    spacing_mm : mm a pixel
    """
    inside = breast_inside(picture, spacing_mm) > 0
    values = picture.astype(np.float32)
    return np.array(
        [
            *_grey(values[inside]),
            *(
                number
                for sigma in _DETAIL_SIGMAS
                for number in _detail((values - cv2.GaussianBlur(values, (0, 0), sigma))[inside])
            ),
            *_dots(values, inside),
            *np.maximum(blob_scores(picture, spacing_mm), -1e9),
        ]
    )


def single_number_aucs(
    numbers: NDArray[np.float64],
    labels: NDArray[np.bool_],
    patients: Sequence[str],
    *,
    trees: int = TREES,
) -> dict[str, float]:
    """Return the AUC of the best number of each group and of a forest on all of them.

    A number may speak for the finding or against it, and the best is chosen on these very
    pictures: both favour the number. The forest is judged by patients that it did not learn from.

    Parameters
    ----------
    numbers : (pictures, len(NAMES))
    labels : (pictures,)
    patients : (pictures,)
    trees : of the forest

    Returns
    -------
    dict
        By the number's name, and ``forest on all``, in the order of `GROUPS`.
    """
    from sklearn.metrics import roc_auc_score

    aucs = [float(roc_auc_score(labels, column)) for column in numbers.T]
    best = {}
    for group in GROUPS:
        places = [place for place, name in enumerate(NAMES) if name.startswith(group)]
        place = max(places, key=lambda one: abs(aucs[one] - 0.5))
        best[NAMES[place]] = max(aucs[place], 1.0 - aucs[place])
    best[FOREST] = _forest_auc(numbers, labels, patients, trees)
    return best


_FOLDS: Final = 5


def _forest_auc(
    numbers: NDArray[np.float64],
    labels: NDArray[np.bool_],
    patients: Sequence[str],
    trees: int,
) -> float:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    forest = RandomForestClassifier(
        trees, min_samples_leaf=3, class_weight="balanced", random_state=0
    )
    groups = np.asarray(patients)
    count = min(_FOLDS, len(set(groups[labels])), len(set(groups[~labels])))
    if count < 2:
        return float("nan")
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    said = cross_val_predict(
        forest, numbers, labels, groups=groups, cv=folds, method="predict_proba"
    )
    return float(roc_auc_score(labels, said[:, 1]))


def _grey(values: NDArray[np.float32]) -> list[float]:
    if not values.size:
        return [0.0] * len(_GREY)
    return [
        float(values.mean()),
        float(values.std()),
        *np.percentile(values, (5, 50, 95, 99.9)).tolist(),
    ]


def _detail(values: NDArray[np.float32]) -> list[float]:
    if not values.size:
        return [0.0] * len(_DETAIL)
    spread = max(float(values.std()), 1e-6)
    kurtosis = float((((values - values.mean()) / spread) ** 4).mean())
    return [spread, kurtosis, float(np.percentile(values, 99.9)), float(values.max())]


def _dots(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> list[float]:
    """Count round bright dots: where both curvatures are strong, and none is much stronger."""
    smooth = cv2.GaussianBlur(values, (0, 0), _DOT_SIGMA)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 2, ksize=3)
    across = cv2.Sobel(smooth, cv2.CV_32F, 2, 0, ksize=3)
    mixed = cv2.Sobel(smooth, cv2.CV_32F, 1, 1, ksize=3)
    middle, half = (down + across) / 2, np.hypot((down - across) / 2, mixed)
    strong, weak = half - middle, -half - middle
    peak = cv2.dilate(smooth, np.ones((5, 5), np.uint8)) == smooth
    is_dot = inside & peak & (weak > _DOT_ROUNDNESS * strong)
    counts, in_windows = [], []
    for level in _LEVELS:
        dots = (is_dot & (strong * np.float32(_DOT_SIGMA**2 / 4) > level)).astype(np.float32)
        counts.append(float(dots.sum()))
        in_windows += [
            float(cv2.boxFilter(dots, -1, (side, side), normalize=False).max()) for side in _WINDOWS
        ]
    return [*counts, *in_windows]
