"""A trained head: what it answers, and its file in the published classifiers' layout."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.published.checkpoint_layout import IMAGE_PREFIX
from mammoclip_core.published.models import published_keys
from mammoclip_core.published.pretrained_file import CLASSIFIER
from training.data.augmentation import AugmentationPreset
from training.downstream.cases import Division, Protocol
from training.downstream.fitting import Fitted
from training.downstream.recipes import Recipe, Training
from training.downstream.tasks import Task
from training.learning.finite import require_finite
from training.whole_file import whole_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is trained, how, and by which rules it is chosen.

    Attributes
    ----------
    percent : 1 to 100
        Of the training part that the division was made with.
    augmentation : of a fine-tune's images; a probe learns on images as they are
    """

    task: Task
    training: Training
    protocol: Protocol
    recipe: Recipe
    percent: int = 100
    seed: int = 10
    augmentation: AugmentationPreset = "paper"

    @property
    def setting(self) -> str:
        """Return how the published tables call it."""
        return f"{self.training} {self.percent} %"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedHead:
    """One linear probe or fine-tune, with what it said.

    Attributes
    ----------
    backbone : tensors of the encoder under timm's names
    weight, bias : (outputs, C) and (outputs,)
    fitted : the epoch that was kept
    test_scores, choice_scores : (N, outputs) [0, 1] of the division's cases
    """

    plan: Plan
    architecture: str
    backbone: dict[str, Tensor]
    weight: Tensor
    bias: Tensor
    fitted: Fitted
    division: Division
    test_scores: NDArray[np.float64]
    choice_scores: NDArray[np.float64]


def save_head(head: TrainedHead, path: Path, record: Mapping[str, str] | None = None) -> None:
    """Write a head as the authors' fine-tuned classifiers are laid out.

    `mammoclip-predict convert --head NAME=FILE` reads it.

    Parameters
    ----------
    record : whom its training held out, of `held_out_record.record_of`

    Raises
    ------
    DivergedError
        A weight or a score is not finite.
    """
    names = published_keys(head.backbone, head.architecture)
    model = {
        IMAGE_PREFIX + names[name]: value.detach().cpu().contiguous().clone()
        for name, value in head.backbone.items()
    }
    model[f"{CLASSIFIER}weight"] = head.weight.detach().cpu().clone()
    model[f"{CLASSIFIER}bias"] = head.bias.detach().cpu().clone()
    predictions = torch.from_numpy(head.test_scores)
    require_finite(model | {"predictions": predictions}, str(path))
    measure = "accuracy" if head.plan.task.is_class_set else "auroc"
    content = {
        "model": model,
        "predictions": predictions,
        "epoch": head.fitted.epoch,
        measure: None if math.isnan(head.fitted.value) else head.fitted.value,
        "patients": dict(record or {}),
        "recipe": f"{head.plan.setting}, {head.plan.protocol}: {head.plan.recipe}",
    }
    with whole_file(path) as stream:
        torch.save(content, stream)
