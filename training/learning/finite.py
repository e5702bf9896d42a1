"""Training ends where a loss, gradient or weight is no longer finite, and writes nothing of it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.bundles.tensor_names import listed
from training.errors import DivergedError

Number = TypeVar("Number", bound="np.floating[Any]")

GRADIENT_NORM: Final = "the gradient's norm"


def finite_loss(loss: Tensor, step: int, epoch: int, what: str = "the loss") -> float:
    """Return a loss, or another number that training stands on, as a number.

    Parameters
    ----------
    step, epoch : counted from 0
    what : it is, for the message

    Raises
    ------
    DivergedError
        It is infinite or not a number; the message names step and epoch, counted from 1.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(
            f"{what} is {value} at step {step + 1} (epoch {epoch + 1}): training ended, and "
            "nothing is written of it; try a smaller learning rate"
        )
    return value


def require_finite_gradient(parameters: Iterable[Tensor], step: int, epoch: int) -> None:
    """Refuse a step by a gradient that is not finite: it would spoil the weights and all after.

    Parameters
    ----------
    step, epoch : counted from 0

    Raises
    ------
    DivergedError
        The message names step and epoch, counted from 1.
    """
    gradients = [value.grad for value in parameters if value.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    finite_loss(norm, step, epoch, GRADIENT_NORM)


def finite_scores(scores: NDArray[Number], epoch: int) -> NDArray[Number]:
    """Return scores, of which each is a number: weights that are finite can still answer none.

    Parameters
    ----------
    scores : (N, ...), of N images
    epoch : whose weights gave them, counted from 0

    Raises
    ------
    DivergedError
        One is infinite or not a number; the message says of how many images, after which epoch.
    """
    is_bad = ~np.isfinite(scores).all(axis=tuple(range(1, scores.ndim)))
    if is_bad.any():
        raise DivergedError(
            f"the scores of {is_bad.sum()} of {len(scores)} judged images are not finite after "
            f"epoch {epoch + 1}: training ended, and nothing is written of it; try a smaller "
            "learning rate"
        )
    return scores


def require_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights that are about to be written and hold a value that is not finite.

    Parameters
    ----------
    what : is to be written, for the message

    Raises
    ------
    DivergedError
        The message names the tensors.
    """
    bad = [
        name
        for name, value in tensors.items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if bad:
        raise DivergedError(
            f"{what} is not written: values of {listed(bad, 3)} are not finite; "
            "try a smaller learning rate"
        )
