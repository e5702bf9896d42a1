"""Linear probes: the encoder stays as it is, one linear layer learns on cached features."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammoclip_core.networks.image_encoder import ImageEncoder
from training.downstream.cases import Division
from training.downstream.fitting import fit, judged_by, shares_of, shuffled
from training.downstream.heads import Plan, TrainedHead
from training.downstream.tasks import Task
from training.errors import SettingsError
from training.learning.finite import finite_scores


def train_probe(
    encoder: ImageEncoder,
    features: NDArray[np.float32],
    division: Division,
    plan: Plan,
) -> TrainedHead:
    """Train a linear layer on features that are computed once: images are not augmented.

    Parameters
    ----------
    encoder : what the features, (images, C), come from

    Raises
    ------
    SettingsError
        There is no row to train on, or none of a class that a yes or no needs.
    DivergedError
        A loss, a gradient, a weight or a score is not finite.
    """
    task, recipe, seed = plan.task, plan.recipe, plan.seed
    require_classes(division, task)
    torch.manual_seed(seed)
    layer = nn.Linear(features.shape[1], task.outputs)
    known = torch.from_numpy(features)
    rows = known[torch.from_numpy(division.training.images)]
    labels = torch.from_numpy(division.training.labels)
    choice = known[torch.from_numpy(division.choice.images)]

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in shuffled(len(rows), recipe.batch_size, seed, epoch):
            yield rows[chosen], labels[chosen]

    def scores_of(features: Tensor, epoch: int) -> NDArray[np.float64]:
        with torch.inference_mode():
            return finite_scores(shares_of(layer(features)), epoch)

    def judge(epoch: int) -> float:
        return judged_by(task, division.choice, scores_of(choice, epoch))

    fitted = fit(
        layer,
        layer,
        batches,
        recipe,
        batches_an_epoch=len(shuffled(len(rows), recipe.batch_size, seed, 0)),
        positive_weight=division.positive_weight,
        judge=judge,
    )
    shown = known[torch.from_numpy(division.test.images)]
    return TrainedHead(
        plan=plan,
        architecture=encoder.architecture,
        backbone=dict(encoder.backbone.state_dict()),
        weight=layer.weight,
        bias=layer.bias,
        fitted=fitted,
        division=division,
        test_scores=scores_of(shown, fitted.epoch),
        choice_scores=scores_of(choice, fitted.epoch),
    )


def require_classes(division: Division, task: Task) -> None:
    """Refuse a training part that nothing can be learnt from; raises SettingsError."""
    labels = division.training.labels
    if len(labels) == 0:
        raise SettingsError(
            f"{task.name}: there are no rows to train on; a table needs a column split (training, "
            "test) or fold (0 is the test part), which mammoclip-train prepare adds"
        )
    if not task.is_class_set and (labels.min() == labels.max()):
        kind = "positive" if labels.max() == 0 else "negative"
        raise SettingsError(f"{task.name}: none of the {len(labels)} training rows is {kind}")
