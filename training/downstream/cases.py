"""Which rows a model learns from and which it is judged on, as published and honestly."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from training.data.table_mapping import HELD_OUT, TEST, TRAINING, UNKNOWN
from training.downstream.labelled_images import LabelledImages
from training.downstream.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED_SAMPLING_SEED: Final = 1
"""The authors draw a share of the training rows by this seed of pandas."""


class Protocol(StrEnum):
    """By which rules a model is trained, chosen and judged."""

    PUBLISHED = "published"
    """Annotation rows as cases; the epoch that is best on the test part."""

    HONEST = "honest"
    """Images as cases; the epoch that is best on patients held out of training."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cases:
    """Rows with their labels.

    Attributes
    ----------
    images : (N,) positions in the table's files
    labels : (N,) 0 or 1, or a class
    patients : (N,)
    units : (N,) of 0 to U - 1
        Rows of one unit are judged together, by the mean of their scores and the largest label.
    """

    images: NDArray[np.intp]
    labels: NDArray[np.int64]
    patients: NDArray[np.object_]
    units: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: NDArray[np.bool_]) -> "Cases":
        """Return some of the rows; what is left of a unit is judged together."""
        _, units = np.unique(self.units[rows], return_inverse=True)
        return Cases(
            images=self.images[rows],
            labels=self.labels[rows],
            patients=self.patients[rows],
            units=units,
        )

    def joined(self, scores: NDArray[np.float64]) -> "Judged":
        """Return what the scores, (N, outputs), say of each unit."""
        count = int(self.units.max()) + 1 if len(self) else 0
        means = np.zeros((count, scores.shape[1]))
        np.add.at(means, self.units, scores)
        means /= np.maximum(np.bincount(self.units, minlength=count), 1)[:, None]
        labels = np.zeros(count, np.int64)
        np.maximum.at(labels, self.units, self.labels)
        patients = np.empty(count, object)
        patients[self.units] = self.patients
        return Judged(labels=labels, scores=means, patients=patients)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What is known and what was said of each unit.

    Attributes
    ----------
    labels : (U,)
    scores : (U, outputs) [0, 1]
    patients : (U,)
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    patients: NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Division:
    """What one model is trained on, chosen on and judged on.

    Attributes
    ----------
    positive_weight : negatives a positive, of the whole training part
        Whatever share of it is trained on, as published; 1 of a class set.
    """

    training: Cases
    choice: Cases
    test: Cases
    positive_weight: float


def divide(
    data: LabelledImages, task: Task, protocol: Protocol, percent: int = 100, seed: int = 0
) -> Division:
    """Divide a table's rows by a protocol, with a share of the training part.

    Parameters
    ----------
    percent : 1 to 100
        Of rows as published, of patients honestly.

    Raises
    ------
    TableError
        The table does not know the task's label.
    """
    data.require(task.label)
    is_published = protocol is Protocol.PUBLISHED
    frame = data.rows if is_published else data.images
    frame = frame[frame[task.label] != UNKNOWN]
    own = [TRAINING, HELD_OUT] if is_published and data.held_out_is_training else [TRAINING]
    training = frame[frame["part"].isin(own)]
    positives = int((training[task.label] > 0).sum())
    weight = (len(training) - positives) / max(positives, 1)
    if percent < 100:
        training = (
            training.sample(frac=percent / 100, random_state=PUBLISHED_SAMPLING_SEED)
            if is_published
            else _of_some_patients(training, percent, seed)
        )
    test = frame[frame["part"] == TEST]
    choice = test if is_published else frame[frame["part"] == HELD_OUT]
    return Division(
        training=cases_of(training, task),
        choice=cases_of(choice, task),
        test=cases_of(test, task),
        positive_weight=1.0 if task.is_class_set else weight,
    )


def cases_of(frame: "pd.DataFrame", task: Task, *, by_breast: bool | None = None) -> Cases:
    """Return the rows of a frame as cases, by the task's unit unless `by_breast` says which."""
    by_breast = task.by_breast if by_breast is None else by_breast
    units = np.arange(len(frame))
    if by_breast:
        _, units = np.unique(frame["breast"].to_numpy(), return_inverse=True)
    return Cases(
        images=np.array(frame["image"], dtype=np.intp),
        labels=np.array(frame[task.label], dtype=np.int64),
        patients=np.array(frame["patient"], dtype=object),
        units=units,
    )


def _of_some_patients(frame: "pd.DataFrame", percent: int, seed: int) -> "pd.DataFrame":
    """Draw whole patients: 10 % of them are among any 50 % of the same seed."""
    patients = np.unique(frame["patient"].to_numpy(dtype=str))
    drawn = np.random.default_rng(seed).permutation(patients)
    kept = drawn[: max(1, round(len(patients) * percent / 100))]
    return frame[frame["patient"].isin(kept)]
