"""Batches larger than memory: embeddings first, their gradients, then chunk by chunk again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

Embed = Callable[[Any], tuple[Tensor, ...]]


def cached_backward(
    model: nn.Module,
    chunks: Sequence[Any],
    embed: Embed,
    loss_of: Callable[[tuple[Tensor, ...]], Tensor],
    backward: Callable[[Tensor], None],
    *,
    unsynchronised: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Tensor:
    """Leave in a model's parameters the gradient of a loss over the joint batch of all chunks.

    The result is that of one backward pass through all chunks at once; memory is that of one.
    BatchNorm alone tells them apart: in training it takes the statistics of a chunk.

    Parameters
    ----------
    embed : chunk to embeddings, (b, D) each
        Called twice a chunk, with the same random numbers.
    loss_of : joined embeddings to the loss
        May reach parameters of its own; their gradient is left in them too.
    backward : backward pass of a value, as the trainer's precision wants it
    unsynchronised : context in which ranks do not exchange gradients
        Everything runs in it: `average_gradients` brings them together afterwards.

    References
    ----------
    Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup (2021).
    """
    states = []
    parts = []
    with torch.no_grad(), _statistics_kept(model):
        for chunk in chunks:
            states.append(_random_state())
            parts.append(embed(chunk))
    sizes = [len(part[0]) for part in parts]
    joined = tuple(torch.cat(rows).requires_grad_() for rows in zip(*parts, strict=True))
    loss = loss_of(joined)
    with unsynchronised():
        backward(loss)
    gradients = [
        torch.zeros_like(rows) if rows.grad is None else rows.grad.detach() for rows in joined
    ]
    after = _random_state()
    split = [torch.split(gradient, sizes) for gradient in gradients]
    for number, chunk in enumerate(chunks):
        _set_random_state(states[number])
        with unsynchronised():
            again = embed(chunk)
            pieces = [(rows * split[place][number]).sum() for place, rows in enumerate(again)]
            _plain_backward(torch.stack(pieces).sum())
    _set_random_state(after)
    return loss.detach()


def average_gradients(model: nn.Module) -> None:
    """Average the gradients over all ranks; nothing without a process group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    ranks = distributed.get_world_size()
    for parameter in model.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= ranks


def _plain_backward(value: Tensor) -> None:
    """Go back without a scaler: the gradients that came from `backward` are scaled already."""
    value.backward()  # type: ignore[no-untyped-call]


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Compute with a batch's own statistics, and leave the running ones as they are."""
    moved = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]
    for module in moved:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in moved:
            module.track_running_stats = True


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), (
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    )


def _set_random_state(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
