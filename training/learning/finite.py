"""Training ends where a loss or a weight is no longer finite, and writes nothing of it."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mammoclip_core.bundles.tensor_names import listed
from training.errors import DivergedError


def finite_loss(loss: Tensor, step: int, epoch: int) -> float:
    """Return a loss as a number.

    Parameters
    ----------
    step, epoch : counted from 0

    Raises
    ------
    DivergedError
        It is infinite or not a number; the message names step and epoch, counted from 1.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(
            f"the loss is {value} at step {step + 1} (epoch {epoch + 1}): training ended, and "
            "nothing is written of it; try a smaller learning rate"
        )
    return value


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
