"""Fine-tunes: the whole encoder learns with its head, on augmented images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from mammoclip_core.errors import PixelError
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.manifest import Preprocessing
from mammoclip_core.networks.heads import FineTunedClassifier
from mammoclip_core.networks.image_encoder import ImageEncoder
from training.data.augmentation import PLAIN, PRESETS, Augmentation
from training.data.image_files import said_of
from training.downstream.cases import Cases, Division
from training.downstream.fitting import fit, judged_by, shares_of, shuffled
from training.downstream.heads import Plan, TrainedHead
from training.downstream.probe import require_classes
from training.learning.drop_path import set_drop_path
from training.learning.finite import finite_scores
from training.learning.ranks import ALONE, Ranks
from training.learning.run_state import NOTHING_KEPT, RunState

_DROP_PATH: Final = 0.2
_DROPOUT: Final = {"tf_efficientnet_b5": 0.4, "tf_efficientnet_b2": 0.3}
"""On the pooled features, as the published encoders have it."""

_OTHER_DROPOUT: Final = 0.2
_JUDGED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a fine-tune runs on.

    Attributes
    ----------
    device : as torch names it
        On ``cuda`` in bfloat16 where autocast chooses it.
    workers : processes that read and augment ahead, 0 for none
    ranks : processes that train together, each on its own `device`
    """

    device: str = "cpu"
    workers: int = 0
    ranks: Ranks = ALONE


class _Images(Dataset[tuple[Tensor, int]]):
    """Prepared images with labels; a row's image changes from epoch to epoch."""

    def __init__(
        self,
        files: Sequence[Path],
        labels: NDArray[np.int64],
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._files = files
        self._labels = labels
        self._preprocessing = preprocessing
        self._augmentation = augmentation
        self._seed = seed

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file = self._files[index]
        try:
            prepared = prepare(read_image(file), self._preprocessing)
        except PixelError as error:
            raise PixelError(said_of(file, error)) from error
        image = torch.from_numpy(prepared.values)[None]
        label = int(self._labels[index])
        if self._augmentation is PLAIN:
            return image, label
        # What the augmentation uncovers becomes black, as air is: on values from 0 to 1.
        mean, std = self._preprocessing.mean, self._preprocessing.std
        changed = self._augmentation(image * std + mean, self._seed + index)
        return (changed - mean) / std, label


def fine_tune(
    encoder: ImageEncoder,
    files: Sequence[Path],
    preprocessing: Preprocessing,
    division: Division,
    plan: Plan,
    *,
    machine: Machine | None = None,
    augmentation: Augmentation | None = None,
    run: RunState = NOTHING_KEPT,
) -> TrainedHead:
    """Train an encoder, which is changed, and a linear layer on images.

    Parameters
    ----------
    files : by position, as the cases name them
    augmentation : in place of the plan's
    run : goes on after the last epoch that was kept

    Raises
    ------
    SettingsError
        There is no row to train on, or none of a class that a yes or no needs.
    PixelError
        An image cannot be read.
    DivergedError
        A loss, a gradient, a weight or a score is not finite.
    """
    task, recipe, seed = plan.task, plan.recipe, plan.seed
    require_classes(division, task)
    machine = machine or Machine()
    ranks = machine.ranks
    ranks.require_batches_of(min(recipe.batch_size, len(division.training)))
    augmentation = augmentation or PRESETS[plan.augmentation]
    torch.manual_seed(seed)
    set_drop_path(encoder, _DROP_PATH)
    network = FineTunedClassifier(encoder, task.outputs).to(machine.device)
    dropout = _DROPOUT.get(encoder.architecture, _OTHER_DROPOUT)

    def forward(images: Tensor) -> Tensor:
        pooled = network.encoder(images.expand(-1, 3, -1, -1))
        logits: Tensor = network.linear(functional.dropout(pooled, dropout, network.training))
        return logits

    def scores_of(cases: Cases, epoch: int) -> NDArray[np.float64]:
        """Show each image once, however many rows it has."""
        places, back = np.unique(cases.images, return_inverse=True)
        shown = _Images(
            [files[place] for place in ranks.share(places.tolist())],
            np.zeros(len(places), np.int64),
            preprocessing,
            PLAIN,
            0,
        )
        loader = DataLoader(shown, _JUDGED_AT_ONCE, num_workers=machine.workers)
        with torch.inference_mode():
            logits = [forward(images.to(machine.device)).float().cpu() for images, _ in loader]
        rows = ranks.gathered([row for part in logits for row in part.numpy()])
        if not rows:
            return np.zeros((0, task.outputs))
        return finite_scores(shares_of(torch.from_numpy(np.stack(rows))), epoch)[back]

    training = division.training

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        shown = _Images(
            [files[place] for place in training.images],
            training.labels,
            preprocessing,
            augmentation,
            (seed * 100_003 + epoch) * len(training),
        )
        rows = [
            list(ranks.share(part.tolist()))
            for part in shuffled(len(training), recipe.batch_size, seed, epoch)
        ]
        yield from DataLoader(shown, batch_sampler=rows, num_workers=machine.workers)

    fitted = fit(
        network,
        forward,
        batches,
        recipe,
        batches_an_epoch=len(shuffled(len(training), recipe.batch_size, seed, 0)),
        positive_weight=division.positive_weight,
        judge=lambda epoch: judged_by(task, division.choice, scores_of(division.choice, epoch)),
        run=run,
        ranks=ranks,
    )
    return TrainedHead(
        plan=plan,
        architecture=encoder.architecture,
        backbone=dict(network.encoder.backbone.state_dict()),
        weight=network.linear.weight,
        bias=network.linear.bias,
        fitted=fitted,
        division=division,
        test_scores=scores_of(division.test, fitted.epoch),
        choice_scores=scores_of(division.choice, fitted.epoch),
    )
