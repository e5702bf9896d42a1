"""How torch computes image encoders: folded, on a device, in some numbers, within its memory."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mammoclip_core.engines.computing_options import ComputingOptions, Precision
from mammoclip_core.errors import BatchMemoryError, BundleError, ComputingError, DeviceError
from mammoclip_core.findings import EngineIdentity
from mammoclip_core.freed_memory import keep_freed_memory
from mammoclip_core.networks.image_encoder import ImageEncoder

_Module = TypeVar("_Module", bound=nn.Module)
_FeatureMap = Callable[[Tensor], Tensor]

_DTYPES: Final = {
    Precision.EXACT: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}

_WORDS_FOR_SHORT_MEMORY: Final = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a memory",
)
"""What torch, C++ and oneDNN say on a CPU, where they have no error class of their own for it."""

_WORDS_FOR_A_DEAD_DEVICE: Final = ("CUDA error", "CUDNN_STATUS", "cuDNN error", "CUBLAS_STATUS")
"""What torch and the libraries of a GPU say of one that does not compute any more."""


class TorchComputer:
    """Computes the feature maps of image encoders, independently of their later use.

    Raises
    ------
    BundleError
        The machine has no such device.
    ComputingError
        float16 on a CPU: hundreds of times slower than float32 there, and too narrow.
    """

    def __init__(self, device: str = "cpu", options: ComputingOptions | None = None) -> None:
        self.options = options or ComputingOptions()
        self.device = device_named(device)
        if self.options.precision is Precision.FLOAT16 and self.device.type == "cpu":
            raise ComputingError("float16 is for GPUs: on a CPU choose exact or bfloat16")
        self._dtype = _DTYPES[self.options.precision]
        self._compiled: dict[ImageEncoder, _FeatureMap] = {}
        if self.device.type == "cpu":
            keep_freed_memory()
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        if self.options.is_deterministic:
            # cuBLAS reads it when it is first used, and is not repeatable without.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)

    @property
    def identity(self) -> EngineIdentity:
        """Return the identity of the engine that results state."""
        return EngineIdentity(
            name="torch compiled" if self.options.is_compiled else "torch",
            version=str(torch.__version__),
            precision=self.options.precision.numbers,
        )

    def ready(self, module: _Module, *, exact: bool = False) -> _Module:
        """Bring a module to the device for good, its encoders folded and in their precision.

        Parameters
        ----------
        exact : bool
            Leave the module in float32 whatever the precision.
        """
        module.eval().requires_grad_(requires_grad=False)
        for encoder in module.modules():
            if isinstance(encoder, ImageEncoder):
                fold_batch_norms(encoder)
                encoder.to(torch.float32 if exact else self._dtype)
        module.to(self.device)
        module.to(memory_format=torch.channels_last)
        return module

    def images(self, batch: NDArray[np.float32], *, exact: bool = False) -> Tensor:
        """Bring a (B, 3, H, W) batch to the device, in the encoders' numbers.

        Channels that are one and the same in memory travel once.
        """
        channels = 1 if batch.strides[1] == 0 else batch.shape[1]
        shape = (batch.shape[0], channels, *batch.shape[2:])
        host = torch.empty(shape, pin_memory=self.device.type == "cuda")
        host.numpy()[...] = batch[:, :channels]
        images = host.to(self.device, torch.float32 if exact else self._dtype, non_blocking=True)
        return images.expand(-1, batch.shape[1], -1, -1).contiguous(
            memory_format=torch.channels_last
        )

    def feature_map(self, encoder: ImageEncoder, images: Tensor) -> Tensor:
        """Compute the last feature map, (B, C, H, W) float32, of images that are on the device."""
        if not self.options.is_compiled:
            return encoder.feature_map(images).float()
        if encoder not in self._compiled:
            self._compiled[encoder] = _compiled(encoder, self.device)
        # One compilation for each power of two: not for every number of images that may be left.
        missing = (1 << (len(images) - 1).bit_length()) - len(images)
        padded = torch.cat([images, images[:1].expand(missing, -1, -1, -1)])
        padded = padded.contiguous(memory_format=torch.channels_last)
        # CUDA graphs write the next answer over this one.
        return self._compiled[encoder](padded)[: len(images)].clone().float()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute without gradients and without TF32, and report a shortage of memory.

        Raises
        ------
        BatchMemoryError
            The batch does not fit into the memory that is free.
        """
        with telling_short_memory(self.device), torch.inference_mode(), self._cudnn():
            yield

    @contextmanager
    def _cudnn(self) -> Iterator[None]:
        if self.device.type != "cuda":
            yield
            return
        repeatable = self.options.is_deterministic
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=not repeatable, deterministic=repeatable, allow_tf32=False
        ):
            yield


@contextmanager
def telling_short_memory(device: torch.device) -> Iterator[None]:
    """Report a shortage of memory as one error, for each device and library.

    Raises
    ------
    BatchMemoryError
        What is done inside does not fit into the memory that is free.
    DeviceError
        The device stopped answering, as after a fault of its driver.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise BatchMemoryError(f"memory is short on {device}") from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _WORDS_FOR_SHORT_MEMORY):
            if any(known in str(error) for known in _WORDS_FOR_A_DEAD_DEVICE):
                words = f"{device} stopped answering: see the log of its driver"
                raise DeviceError(words) from error
            raise
        raise BatchMemoryError(f"memory is short on {device}") from error


def fold_batch_norms(encoder: ImageEncoder) -> None:
    """Fold every BatchNorm of an encoder into the convolution before it, in float64.

    What is left in its place is its activation; a folded encoder stays as it is.
    """
    last: tuple[str, nn.Conv2d] | None = None
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Conv2d):
            last = name, module
        elif isinstance(module, nn.BatchNorm2d) and last is not None:
            convolution_name, convolution = last
            dtype = convolution.weight.dtype
            folded = fuse_conv_bn_eval(convolution.double(), module.double()).to(dtype)
            _replace(encoder, convolution_name, folded)
            _replace(encoder, name, module.get_submodule("act"))


def _replace(module: nn.Module, name: str, successor: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, successor)


def _compiled(encoder: ImageEncoder, device: torch.device) -> _FeatureMap:
    if device.type == "cuda":
        return torch.compile(encoder.feature_map, dynamic=False, mode="max-autotune")
    return torch.compile(encoder.feature_map, dynamic=False, options={"freezing": True})


def device_named(name: str) -> torch.device:
    """Return a device of this machine, as torch names it; raises BundleError."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BundleError(f"device {name!r} is not usable on this machine: choose cpu") from error
    return device
