"""What a pretraining will cost on this machine: pictures, steps and hours, before it begins."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import lightning
import torch
from torch import Tensor

from training.pretraining.batches import Batch, chunks_of
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
    computing, loading : of a step on each device; loading by all processes that read ahead
    judging : of a batch of those held out
    """

    pictures: int
    breasts: int
    held_out: int
    batch: int
    devices: int
    steps: int
    epochs: int
    computing: float
    loading: float
    judging: float

    @property
    def hours(self) -> float:
        """Return how long the run takes."""
        judged = self.held_out // self.batch * max(self.judging, self.loading)
        return self.epochs * (self.steps * max(self.computing, self.loading) + judged) / 3600

    def lines(self) -> list[str]:
        """Say it in words."""
        slower = "loading: give --data.settings.workers" if self.loads else "computing"
        return [
            f"{self.breasts} breasts with {self.pictures} pictures to train on, "
            f"{self.held_out} breasts held out",
            f"{self.steps} steps an epoch of {self.batch} breasts on {self.devices} device(s), "
            f"{self.steps * self.epochs} steps in {self.epochs} epochs",
            f"a step: {self.computing:.3g} s to compute, {self.loading:.3g} s to load; "
            f"limited by {slower}",
            f"about {self.hours:.2g} hours on this machine; nothing was trained",
        ]

    @property
    def loads(self) -> bool:
        """Tell whether the devices wait for pictures."""
        return self.loading > self.computing


def estimate(
    trainer: lightning.Trainer, module: Pretraining, data: PretrainingData, epochs: int
) -> Cost:
    """Time a few batches as training would load and compute them; nothing is written or learnt.

    Raises
    ------
    CoreError
        The tables or pictures are of no use, as in training.
    """
    data.setup("fit")
    settings = data.settings
    samples = data.samples(module, is_training=True)
    count = min(settings.batch_size, len(samples))
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
    devices = trainer.world_size
    joint = settings.batch_size * devices
    return Cost(
        pictures=data.pictures,
        breasts=len(samples),
        held_out=len(data.samples(module, is_training=False)),
        batch=joint,
        devices=devices,
        steps=len(samples) // joint,
        epochs=epochs,
        computing=min(learning[1:]),
        loading=min(loaded[1:]) / max(settings.workers, 1),
        judging=min(judging[1:]),
    )


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
