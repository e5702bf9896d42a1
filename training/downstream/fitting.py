"""The loop that probes and fine-tunes share: train, judge each epoch, keep the best."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.downstream.cases import Cases
from training.downstream.recipes import Recipe
from training.downstream.tasks import Task
from training.learning.finite import finite_loss, require_finite_gradient
from training.learning.ranks import ALONE, Ranks
from training.learning.run_state import NOTHING_KEPT, RunState
from training.learning.schedule import learning_rate_factor

Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]
"""From an epoch, counted from 0, to its inputs and labels (B,) of whole numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The best epoch.

    Attributes
    ----------
    epoch : counted from 0
    value : what it was chosen by; NaN where no epoch could be judged, the last one is kept then
    losses : mean of each epoch that was trained
    """

    epoch: int
    value: float
    losses: tuple[float, ...] = ()


def fit(
    network: nn.Module,
    forward: Callable[[Tensor], Tensor],
    batches: Batches,
    recipe: Recipe,
    *,
    batches_an_epoch: int,
    positive_weight: float,
    judge: Callable[[int], float],
    run: RunState = NOTHING_KEPT,
    ranks: Ranks = ALONE,
) -> Fitted:
    """Train a network and leave it as it was after the best epoch.

    Parameters
    ----------
    forward : from inputs to logits, (B, outputs)
    positive_weight : factor on the loss of positives, where there is one logit
    judge : called with each epoch, counted from 0, when it has ended
        The greatest value wins, of equal ones the first.
    run : goes on after the last epoch that was kept
    ranks : processes that train together; `batches` gives the share of this one

    Raises
    ------
    DivergedError
        A loss, a gradient, a weight or a judged score is not finite; the kept state is that of
        the epoch before.
    """
    device = next(network.parameters()).device
    weight = torch.tensor(positive_weight, device=device)
    trained = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    warmup = round(recipe.warmup_epochs * batches_an_epoch)
    total = recipe.epochs * batches_an_epoch
    step = 0
    losses: list[float] = []
    best = Fitted(epoch=-1, value=math.nan)
    loop: dict[str, Any] = {}
    state: dict[str, Tensor] = {}
    kept = run.take_up(network, optimizer)
    ranks.wait()  # the file is read by all before the first one writes it again
    ranks.share_statistics(network)
    if kept:
        step, losses, state = kept["step"], kept["losses"], kept["best_state"]
        best = Fitted(epoch=kept["best_epoch"], value=kept["best_value"])
    for epoch in range(kept.get("epoch", -1) + 1, recipe.epochs):
        network.train()
        sums = []
        for inputs, labels in batches(epoch):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * learning_rate_factor(step, warmup, total)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = forward(inputs.to(device))
            loss = head_loss(logits.float(), labels.to(device), weight)
            loss = ranks.share_of(loss, len(labels))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            ranks.sum_gradients(trained)
            sums.append(finite_loss(ranks.total(loss), step, epoch))
            require_finite_gradient(trained, step, epoch)
            optimizer.step()
            step += 1
        losses.append(float(np.mean(sums)))
        network.eval()
        value = judge(epoch)
        if best.epoch < 0 or value > best.value or math.isnan(best.value):
            best = Fitted(epoch=epoch, value=value)
            state = {key: item.detach().cpu().clone() for key, item in network.state_dict().items()}
        loop = {
            "epoch": epoch,
            "step": step,
            "losses": losses,
            "best_epoch": best.epoch,
            "best_value": best.value,
            "best_state": state,
        }
        run.keep(network, optimizer, loop)
    run.finish(loop or kept)
    network.load_state_dict(state)
    network.eval()
    return replace(best, losses=tuple(losses))


def head_loss(logits: Tensor, labels: Tensor, positive_weight: Tensor) -> Tensor:
    """Compute the cross-entropy of classes, or the positive-weighted one of a single logit."""
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(
            logits[:, 0], labels.float(), pos_weight=positive_weight
        )
    return functional.cross_entropy(logits, labels)


def shares_of(logits: Tensor) -> NDArray[np.float64]:
    """Return scores, (N, outputs) [0, 1]: a sigmoid of one logit, a softmax of several."""
    values = logits.detach().double().cpu()
    shares = torch.sigmoid(values) if values.shape[1] == 1 else torch.softmax(values, dim=1)
    return shares.numpy()


def shuffled(count: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """Return the rows of each batch of an epoch; the last incomplete batch is dropped.

    Fewer rows than a batch make one batch.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(count, generator=generator)
    size = min(batch_size, count)
    return [order[start : start + size] for start in range(0, count - size + 1, size)]


def judged_by(task: Task, cases: Cases, scores: NDArray[np.float64]) -> float:
    """Return what the task's epochs are chosen by, of scores (N, outputs) of the cases."""
    judged = cases.joined(scores)
    return task.judge(judged.labels, judged.scores)
