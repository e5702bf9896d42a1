"""What a pretraining will cost on this machine: pictures, steps and hours, before it begins."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import lightning
import torch
from torch import Tensor

from training.pretraining.batches import Batch, ResumableBatches, chunks_of
from training.pretraining.data_module import PretrainingData, collate_for
from training.pretraining.pretraining_module import Pretraining

_TRIALS = 2
"""Batches that are timed, after one that warms up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An estimate; all times in seconds.

    Attributes
    ----------
    pictures : of the training part
    breasts, held_out : of the training part, and those that judge each epoch
    batch : breasts in a batch, over all devices
    steps : of an epoch
    judged : batches that judge each epoch
    limit : of steps over all epochs; None where there is none
    computing, loading : of a step on each device; loading by all processes that read ahead
    judging : of a batch of those held out
    """

    pictures: int
    breasts: int
    held_out: int
    batch: int
    devices: int
    steps: int
    judged: int
    epochs: int
    limit: int | None = None
    computing: float
    loading: float
    judging: float

    @property
    def hours(self) -> float:
        """Return how long the run takes."""
        judging = self.epochs * self.judged * max(self.judging, self.loading)
        return (self.total_steps * max(self.computing, self.loading) + judging) / 3600

    @property
    def total_steps(self) -> int:
        """Return the steps of all epochs."""
        whole = self.steps * self.epochs
        return whole if self.limit is None else min(self.limit, whole)

    def lines(self) -> list[str]:
        """Say it in words."""
        slower = "loading: give --data.settings.workers" if self.loads else "computing"
        return [
            f"{self.breasts} breasts with {self.pictures} pictures to train on, "
            f"{self.held_out} breasts held out",
            f"{self.steps} steps an epoch of {self.batch} breasts on {self.devices} device(s), "
            f"{self.total_steps} steps in {self.epochs} epochs",
            f"a step: {self.computing:.3g} s to compute, {self.loading:.3g} s to load; "
            f"limited by {slower}",
            f"about {self.hours:.2g} hours on this machine; nothing was trained",
        ]

    @property
    def loads(self) -> bool:
        """Tell whether the devices wait for pictures."""
        return self.loading > self.computing


def estimate(trainer: lightning.Trainer, module: Pretraining, data: PretrainingData) -> Cost:
    """Time a few batches as training would load and compute them; nothing is written or learnt.

    Raises
    ------
    CoreError
        The tables or pictures are of no use, as in training.
    """
    data.setup("fit")
    settings = data.settings
    samples = data.samples(module, is_training=True)
    held_out = data.samples(module, is_training=False)
    devices = trainer.world_size
    # As in training, a part that is smaller than a batch is refused.
    steps, judged = (
        0
        if share == 0
        else _limited(
            len(ResumableBatches(len(part), settings.batch_size, 0, ranks=devices)), share
        )
        for part, share in (
            (samples, trainer.limit_train_batches),
            (held_out, trainer.limit_val_batches),
        )
    )
    count = settings.batch_size
    loaded: list[float] = []
    batches = []
    for number in range(_TRIALS + 1):
        began = time.perf_counter()
        chosen = [samples[0, (number * count + place) % len(samples)] for place in range(count)]
        batches.append(collate_for(module)(chosen))
        loaded.append(time.perf_counter() - began)
    device = trainer.strategy.root_device
    module.to(device).train()
    learning, judging = zip(
        *(_seconds(trainer, module, batch, device) for batch in batches), strict=True
    )
    limit = trainer.max_steps if trainer.max_steps > 0 else None
    epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
    if limit is not None:
        needed = math.ceil(limit / max(steps, 1))
        epochs = needed if epochs is None else min(epochs, needed)
    joint = settings.batch_size * devices
    return Cost(
        pictures=data.pictures,
        breasts=len(samples),
        held_out=len(held_out),
        batch=joint,
        devices=devices,
        steps=steps,
        judged=judged,
        epochs=epochs or 1,
        limit=limit,
        computing=min(learning[1:]),
        loading=min(loaded[1:]) / max(settings.workers, 1),
        judging=min(judging[1:]),
    )


def _limited(batches: int, limit: float | None) -> int:
    """Return how many of the batches Lightning takes: a number of them, or a share."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def _seconds(
    trainer: lightning.Trainer, module: Pretraining, batch: Batch, device: torch.device
) -> tuple[float, float]:
    """Return the seconds of a step without the optimizer's, and of a look without a gradient."""
    size = module.chunk_size if 0 < module.chunk_size < len(batch.images) else 0
    part = chunks_of(batch, size)[0] if size else batch
    part = Batch(
        images=part.images.to(device),
        tokens={name: value.to(device) for name, value in part.tokens.items()},
        labels=part.labels.to(device),
        sentences={name: value.to(device) for name, value in part.sentences.items()},
    )

    def loss() -> Tensor:
        with trainer.precision_plugin.forward_context():
            return module.loss_of(module(part))

    with torch.no_grad():
        looking = _timed(lambda: loss().item())
    learning = _timed(lambda: loss().backward())  # type: ignore[no-untyped-call]
    module.zero_grad(set_to_none=True)
    chunks = math.ceil(len(batch.images) / size) if size else 1
    if size:  # each chunk is computed once for the loss, and once for its gradient
        learning += looking
    return chunks * learning, chunks * looking


def _timed(work: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
