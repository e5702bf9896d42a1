"""The classification tasks of the paper: which label, which head, and what it is judged by."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.measures.score_measures import accuracy, auroc


class DataSet(StrEnum):
    """Where labelled images come from; recipes differ."""

    VINDR = "VinDr"
    RSNA = "RSNA"
    OWN = "own table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One label that is predicted for an image.

    Attributes
    ----------
    name : as the published tables call it
    label : column of labels, also the name of the finding in a bundle
    head : as `mammoclip-predict convert --head` calls it
    outputs : 1 logit, or one a class
    by_breast : the mean over the images of a breast is judged, not each image
    """

    name: str
    data: DataSet
    label: str
    head: str
    outputs: int = 1
    by_breast: bool = False

    @property
    def is_class_set(self) -> bool:
        """Tell whether the answer is one of several classes."""
        return self.outputs > 1

    def judge(self, labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
        """Return what an epoch is chosen by: AUROC, of a class set accuracy; NaN if unknown."""
        if self.is_class_set:
            return accuracy(labels, scores.argmax(axis=1)) if len(scores) else float("nan")
        return auroc(labels, scores[:, 0])


MASS: Final = Task(name="VinDr mass", data=DataSet.VINDR, label="mass", head="mass")
CALCIFICATION: Final = Task(
    name="VinDr suspicious calcification",
    data=DataSet.VINDR,
    label="suspicious_calcification",
    head="calcification",
)
DENSITY: Final = Task(
    name="VinDr density", data=DataSet.VINDR, label="density", head="density", outputs=4
)
CANCER: Final = Task(
    name="RSNA cancer", data=DataSet.RSNA, label="malignancy", head="cancer", by_breast=True
)

TASKS: Final = {task.head: task for task in (CALCIFICATION, MASS, DENSITY, CANCER)}
"""By the name of the head."""


def built_in_task(name: str, own_labels: Collection[str] = ()) -> Task | None:
    """Return the built-in task of a name; None where there is none.

    Parameters
    ----------
    own_labels : labels of a mapping
        One that is called as a task of another label, ``cancer``, is meant itself.
    """
    task = TASKS.get(name)
    return None if task is None or (name in own_labels and task.label != name) else task


def own_task(name: str, table: str, classes: Sequence[str]) -> Task:
    """Return a task of a table of your own.

    Parameters
    ----------
    name : of a label
    table : its name
    classes : of the label, in their order; empty of a yes or no
    """
    return Task(
        name=f"{name} of {table}",
        data=DataSet.OWN,
        label=name,
        head=name,
        outputs=len(classes) if classes else 1,
        by_breast=name == CANCER.label,
    )
