"""Single figures of how well scores fit labels: ranking, classes, calibration."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, cohen_kappa_score, f1_score

CALIBRATION_BINS: Final = 15


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve; NaN where one of the two classes is absent.

    It is the share of pairs of a positive and a negative in which the positive scores higher,
    ties counting one half.

    Parameters
    ----------
    labels : (N,), 0 or 1
    scores : (N,)
    """
    # By ranks: a bootstrap calls this thousands of times, and it is ten times the library's speed.
    positive = np.asarray(labels, dtype=bool)
    positives = int(positive.sum())
    negatives = positive.size - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    above = float(ranks[positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the precision-recall curve, in steps; NaN without a positive.

    Parameters
    ----------
    labels : (N,), 0 or 1
    scores : (N,)
    """
    truth = np.asarray(labels, dtype=bool)
    return float(average_precision_score(truth, scores)) if truth.any() else float("nan")


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of right answers; NaN of none. Both (N,), classes as numbers."""
    right = np.asarray(labels) == np.asarray(predicted)
    return float(right.mean()) if right.size else float("nan")


def balanced_accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean, over the classes that occur, of the share of each that is recognised.

    Always answering the commonest density is worth 1/4 here and .77 as plain accuracy.
    """
    truth, answer = np.asarray(labels), np.asarray(predicted)
    recalls = [float((answer[truth == one] == one).mean()) for one in np.unique(truth)]
    return float(np.mean(recalls)) if recalls else float("nan")


def macro_f1(labels: ArrayLike, predicted: ArrayLike, classes: Sequence[int]) -> float:
    """Return the mean F1 of the given classes; one that nobody has and nobody gives counts 0."""
    return float(
        f1_score(labels, predicted, labels=list(classes), average="macro", zero_division=0)
    )


def quadratic_kappa(labels: ArrayLike, predicted: ArrayLike, classes: Sequence[int]) -> float:
    """Return Cohen's kappa with quadratic weights: agreement on an ordered scale, beyond chance.

    NaN where both give one and the same class throughout.
    """
    both = np.concatenate([np.asarray(labels), np.asarray(predicted)])
    if np.unique(both).size < 2:
        return float("nan")
    return float(cohen_kappa_score(labels, predicted, labels=list(classes), weights="quadratic"))


def calibration_bins(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = CALIBRATION_BINS
) -> NDArray[np.float64]:
    """Return what was said and what came of it, in bins of equally many cases.

    Where equal probabilities fall into two bins, each gets the same share of their positives: the
    order of rows has no say.

    Returns
    -------
    (bins, 3) float64, rows of empty bins left out
        Mean probability, share of positives, number of cases.
    """
    levels, level, counts = np.unique(
        np.asarray(probabilities, dtype=np.float64), return_inverse=True, return_counts=True
    )
    positives = np.bincount(level, np.asarray(labels, dtype=np.float64), minlength=levels.size)
    order = np.repeat(np.arange(levels.size), counts)
    said, truth = levels[order], (positives / np.maximum(counts, 1))[order]
    parts = [part for part in np.array_split(np.arange(order.size), bins) if part.size]
    return np.array([[said[part].mean(), truth[part].mean(), part.size] for part in parts]).reshape(
        -1, 3
    )


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = CALIBRATION_BINS
) -> float:
    """Return the mean distance between what was said and what came, over bins of equal mass.

    Even a perfectly calibrated model has an error above 0 on a finite sample: about
    ``sqrt(2 p (1 - p) bins / (pi N))``.
    """
    table = calibration_bins(labels, probabilities, bins)
    if not table.size:
        return float("nan")
    return float(np.average(np.abs(table[:, 0] - table[:, 1]), weights=table[:, 2]))


def retrieval_ranks(similarity: ArrayLike, own: Sequence[int]) -> NDArray[np.intp]:
    """Return the place of each image's own text by similarity, 1 at best; a tie counts against.

    Parameters
    ----------
    similarity : (images, texts)
        Texts are unique: two images may have the same one.
    own : for each image, the index of its text
    """
    table = np.asarray(similarity, dtype=np.float64)
    mine = table[np.arange(table.shape[0]), np.asarray(own)]
    ranks: NDArray[np.intp] = (table >= mine[:, None]).sum(axis=1)
    return ranks


def ranks_of_own_texts(
    images: ArrayLike, texts: ArrayLike, own: Sequence[int], at_once: int = 1024
) -> NDArray[np.intp]:
    """Return `retrieval_ranks` of embeddings, (images, D) and (texts, D), by their product.

    Parameters
    ----------
    at_once : images that are compared at once
        All of them would take memory with the square of a data set's size.
    """
    looked_for, among = np.asarray(images), np.asarray(texts)
    parts = [slice(start, start + at_once) for start in range(0, len(looked_for), at_once)]
    return np.concatenate(
        [
            np.zeros(0, np.intp),
            *(retrieval_ranks(looked_for[part] @ among.T, own[part]) for part in parts),
        ]
    )
