"""Found boxes against true ones as figures with intervals, over patients drawn again and again."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.measures.intervals import REPEATS, Estimate, bootstrap
from training.measures.localisation import (
    MOST_DETECTIONS,
    Detections,
    area_under_precision,
    best_overlap,
    matched_boxes,
)

FEW_REPEATS: Final = 200
"""Where a figure sorts all boxes of all images each time."""


def average_precision_of(
    images: Sequence[Detections],
    threshold: float,
    patients: Sequence[str],
    *,
    score_cut: float = 0.0,
    most: int = MOST_DETECTIONS,
    repeats: int = FEW_REPEATS,
) -> Estimate:
    """Return the average precision over all images, and its interval.

    The value is `training.measures.localisation.mean_average_precision`'s. Which boxes are hits
    does not depend on which patients are drawn: so it is found once.

    Parameters
    ----------
    patients : one an image
    """
    matched = [matched_boxes(image, threshold, score_cut, most) for image in images]
    wanted = np.array([len(image.truth) for image in images], np.intp)

    def measure(chosen: NDArray[np.intp]) -> float:
        rows = [matched[place] for place in chosen]
        return area_under_precision(
            np.concatenate(rows) if rows else np.zeros((0, 2)), int(wanted[chosen].sum())
        )

    return bootstrap(measure, np.arange(len(images)), groups=list(patients), repeats=repeats)


def mean_overlap_of(
    images: Sequence[Detections], patients: Sequence[str], *, repeats: int = REPEATS
) -> Estimate:
    """Return the mean, over images that have a truth, of how well the best boxes overlap it."""
    bearing = [place for place, image in enumerate(images) if len(image.truth)]
    values = [best_overlap(images[place].boxes, images[place].truth) for place in bearing]
    return bootstrap(_mean, values, groups=[patients[place] for place in bearing], repeats=repeats)


def share_of(hits: Sequence[bool], patients: Sequence[str], *, repeats: int = REPEATS) -> Estimate:
    """Return the share of hits and its interval."""
    return bootstrap(_mean, np.asarray(hits, np.float64), groups=list(patients), repeats=repeats)


def bearing_only(
    images: Sequence[Detections], patients: Sequence[str]
) -> tuple[list[Detections], list[str]]:
    """Keep the images that have a truth: the published detectors were judged on these alone."""
    kept = [place for place, image in enumerate(images) if len(image.truth)]
    return [images[place] for place in kept], [patients[place] for place in kept]


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
