"""How well found boxes meet the true ones: overlap and average precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.boxes import Boxes

MOST_DETECTIONS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What a model found on one image, and what is there.

    Attributes
    ----------
    boxes : (N, 4)
    scores : (N,)
    truth : (M, 4); M is 0 on an image without the finding
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    truth: Boxes


def overlaps(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Return the intersection over union of each pair, (N, M), 0 to 1; no +1 pixel is added."""
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _areas(first)[:, None] + _areas(second)[None, :] - shared
    share: Boxes = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


def mean_average_precision(
    images: Sequence[Detections],
    threshold: float,
    *,
    score_cut: float = 0.0,
    most: int = MOST_DETECTIONS,
) -> float:
    """Return the average precision of one class over all images, by the envelope of the curve.

    As the published detector is judged: on each image at most 100 boxes, best first; a box is
    right if its best truth overlaps it at least by the threshold and is not taken yet.

    Parameters
    ----------
    threshold : smallest intersection over union that counts
    score_cut : boxes that score less are not counted
    most : boxes counted on one image

    Returns
    -------
    float
        0 to 1; NaN where no image has a truth.
    """
    rows = [matched_boxes(image, threshold, score_cut, most) for image in images]
    wanted = sum(len(image.truth) for image in images)
    return area_under_precision(np.concatenate(rows) if rows else np.zeros((0, 2)), wanted)


def matched_boxes(
    image: Detections, threshold: float, score_cut: float, most: int
) -> NDArray[np.float64]:
    """Return (score, 1 for a hit) of each box that counts, (N, 2), best first."""
    table = overlaps(image.boxes, image.truth)
    taken: set[int] = set()
    rows = []
    for index in np.argsort(-image.scores, kind="stable")[:most]:
        score = float(image.scores[index])
        if score < score_cut:
            break
        best = int(np.argmax(table[index])) if len(image.truth) else -1
        is_hit = best >= 0 and table[index, best] >= threshold and best not in taken
        if is_hit:
            taken.add(best)
        rows.append((score, float(is_hit)))
    return np.array(rows, np.float64).reshape(-1, 2)


def area_under_precision(matched: NDArray[np.float64], wanted: int) -> float:
    """Return the area under the envelope of precision over recall; NaN without a truth.

    The curve has one point for each distinct score: boxes of the same score are counted together,
    so that the order of the images decides nothing.

    Parameters
    ----------
    matched : (N, 2) of all images, as `matched_boxes`
    wanted : number of true boxes
    """
    if wanted == 0:
        return float("nan")
    if not len(matched):
        return 0.0
    scores, hits = matched[np.argsort(-matched[:, 0], kind="stable")].T
    counted = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1) + 1
    true = np.cumsum(hits)[counted - 1]
    recall = np.concatenate([[0.0], true / wanted, [1.0]])
    precision = np.concatenate([[0.0], true / counted, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


def best_overlap(found: Boxes, truth: Boxes) -> float:
    """Return the mean, over the true boxes, of the best overlap that a found box has with each.

    NaN without a true box; 0 where nothing is found.
    """
    if not len(truth):
        return float("nan")
    if not len(found):
        return 0.0
    return float(overlaps(found, truth).max(axis=0).mean())


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return np.clip(boxes[:, 2] - boxes[:, 0], 0, None) * np.clip(boxes[:, 3] - boxes[:, 1], 0, None)
