"""Which patients of the training part choose an epoch and are not trained on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.splits import group_folds
from training.errors import SettingsError

FOLDS = 5


def held_out(patients: Sequence[str], labels: Sequence[int], seed: int = 0) -> NDArray[np.bool_]:
    """Hold out a fifth of the patients, as rich in findings as the others.

    Parameters
    ----------
    patients, labels : one an image

    Raises
    ------
    SettingsError
        There are too few patients.
    """
    folds = min(FOLDS, len(set(patients)))
    if folds < 2:
        raise SettingsError(
            f"there are {len(set(patients))} patients to train on: too few to hold one out"
        )
    chosen: NDArray[np.bool_] = group_folds(patients, labels, folds, seed) == 0
    return chosen
