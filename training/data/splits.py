"""Folds and splits in which no patient is on both sides."""

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import LeakError


def group_folds(
    groups: Sequence[Hashable], labels: Sequence[Any], folds: int = 4, seed: int = 0
) -> NDArray[np.intp]:
    """Give each row a fold, all rows of a group the same, labels spread evenly.

    Parameters
    ----------
    groups : one a row
        The patient, or the study.
    labels : one a row
        What is to be as frequent in each fold.

    Returns
    -------
    (rows,) of 0 to folds - 1
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(groups)) < folds:
        raise LeakError(f"{len(set(groups))} groups cannot fill {folds} folds")
    if np.unique(np.asarray(labels), return_counts=True)[1].max() < folds:
        labels = [0] * len(labels)  # too few of every label to be spread: the rows still are
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of = np.zeros(len(groups), np.intp)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        parts = list(splitter.split(fold_of, labels, np.asarray(groups, dtype=str)))
    for fold, (_, held_out) in enumerate(parts):
        fold_of[held_out] = fold
    check_no_leak(groups, fold_of.tolist())
    return fold_of


def check_no_leak(groups: Sequence[Hashable], parts: Sequence[Hashable]) -> None:
    """Make sure that no group is in two parts.

    Raises
    ------
    LeakError
        Some are; the message names the first of them.
    """
    part_of: dict[Hashable, Hashable] = {}
    torn: dict[Hashable, None] = {}
    for group, part in zip(groups, parts, strict=True):
        if part_of.setdefault(group, part) != part:
            torn[group] = None
    if torn:
        named = ", ".join(str(group) for group in list(torn)[:5])
        raise LeakError(f"{len(torn)} of {len(part_of)} groups are in several parts: {named}")
