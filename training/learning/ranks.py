"""Processes that train one network together: each has its share of every batch."""

import atexit
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from training.errors import SettingsError

T = TypeVar("T")

_LONGEST_WAIT: Final = timedelta(days=1)
"""For another process, which may measure for hours; that one has died is seen by ``torchrun``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes of one training, and which of them this is.

    Batches are those of a training by one process, and each process computes its share of them;
    gradients and the statistics of BatchNorm are those of the whole batch. The weights are
    therefore the same, but for rounding and for what dropout leaves out.

    Attributes
    ----------
    own : from 0 on; the first one writes
    device : this process computes on
    """

    own: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Tell whether this is the process that writes and speaks."""
        return self.own == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's part of what all have to do."""
        return items if self.count == 1 else items[self.own :: self.count]

    def joined(self, own: Sequence[T]) -> list[T]:
        """Return what every process has, that of the first one first."""
        return [item for part in self._parts(own) for item in part]

    def gathered(self, own: Sequence[T]) -> list[T]:
        """Return what all processes have made of their `share`, in the order of the whole."""
        parts = self._parts(own)
        whole: list[T] = [None] * sum(map(len, parts))  # type: ignore[list-item]  # all are set
        for number, part in enumerate(parts):
            whole[number :: self.count] = part
        return whole

    def share_of(self, loss: Tensor, own: int) -> Tensor:
        """Return this process's part of a batch's mean loss.

        Parameters
        ----------
        loss : the mean over this process's images
        own : how many they are
        """
        if self.count == 1:
            return loss
        return loss * (own / self._sum(torch.tensor(float(own), device=self.device)))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give each parameter the gradient of the whole batch."""
        if self.count > 1:
            for value in parameters:
                if value.grad is not None:
                    distributed.all_reduce(value.grad)

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a value over all processes, without a gradient."""
        return value if self.count == 1 else self._sum(value.detach().clone())

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.count > 1:
            distributed.barrier()

    def require_batches_of(self, size: int) -> None:
        """Refuse batches of which a process would have nothing; raises SettingsError."""
        if size < self.count:
            raise SettingsError(
                f"{self.count} processes cannot share batches of {size} images: start at most "
                f"{size}"
            )

    def share_statistics(self, network: nn.Module) -> None:
        """Let BatchNorm learn from the whole batch, as it does in one process."""
        if self.count == 1:
            return
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.forward = partial(_normalised, layer, layer.forward)  # type: ignore[method-assign]

    def _parts(self, own: Sequence[T]) -> list[list[T]]:
        """Return what each process has, on all of them."""
        if self.count == 1:
            return [list(own)]
        parts: list[Any] = [None] * self.count
        distributed.all_gather_object(parts, list(own))
        return parts

    @staticmethod
    def _sum(value: Tensor) -> Tensor:
        distributed.all_reduce(value)
        return value


ALONE = Ranks()
"""Of a training by one process on the CPU."""


def joined(device: str) -> Ranks:
    """Join the processes that ``torchrun`` has started; without it, be alone.

    Parameters
    ----------
    device : ``cpu``, or ``cuda``, of which each process takes one
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks(device=device)
    is_gpu = device.startswith("cuda")
    if is_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if is_gpu else "gloo", timeout=_LONGEST_WAIT)
        atexit.register(distributed.destroy_process_group)
    return Ranks(own=distributed.get_rank(), count=count, device=device)


class _JointSum(Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:
        joint = values.clone()
        distributed.all_reduce(joint)
        return joint

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        joint = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(joint)
        return joint


def _normalised(layer: nn.BatchNorm2d, alone: Any, values: Tensor) -> Tensor:
    """Compute a BatchNorm, with the activation that timm's layers end in, over all processes.

    torch's own SyncBatchNorm runs on GPUs alone.
    """
    if not layer.training:
        result: Tensor = alone(values)
        return result
    cells = (0, 2, 3)
    single = values.float()
    own = single.new_tensor([values.numel() / values.shape[1]])
    sums = _JointSum.apply(torch.cat([single.sum(cells), own]))
    count = sums[-1]
    mean = sums[:-1] / count
    centred = single - mean[:, None, None]
    variance = _JointSum.apply(centred.square().sum(cells)) / count
    _remember(layer, mean.detach(), variance.detach() * count.detach() / (count.detach() - 1))
    result = centred * torch.rsqrt(variance + layer.eps)[:, None, None]
    if layer.affine:
        result = result * layer.weight[:, None, None] + layer.bias[:, None, None]
    result = result.to(values.dtype)
    for name in ("drop", "act"):
        result = getattr(layer, name, nn.Identity())(result)
    return result


@torch.no_grad()
def _remember(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    if layer.running_mean is None or layer.running_var is None:
        return
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
    share = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum  # type: ignore[arg-type]
    layer.running_mean.lerp_(mean, share)
    layer.running_var.lerp_(variance, share)
