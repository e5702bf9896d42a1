"""Image encoders and detectors computed by torch, on any of its devices."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammoclip_core.bundles.tensors import Tensors, detector_prefix
from mammoclip_core.engines.computing_options import ComputingOptions
from mammoclip_core.engines.torch_boxes import TorchBoxModel
from mammoclip_core.engines.torch_computing import TorchComputer
from mammoclip_core.findings import EngineIdentity
from mammoclip_core.networks.detector import Detector
from mammoclip_core.networks.efficientnet import (
    DYNAMIC_PADDING,
    PUBLISHED_PADDING,
    EfficientNet,
)
from mammoclip_core.networks.image_encoder import ImageEncoder


class TorchEncoder:
    """An image encoder, folded, on the computer's device and in its numbers.

    Parameters
    ----------
    encoder : changed for good
    """

    def __init__(self, encoder: ImageEncoder, images: "_ImagesOnDevice") -> None:
        self.stride = encoder.stride
        self.first_centre = encoder.first_centre
        self._encoder = images.computer.ready(encoder)
        self._images = images

    def feature_maps(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the last feature maps, (B, C, H, W), of (B, 3, rows, columns) images."""
        maps = self._images.computer.feature_map(self._encoder, self._images.of(images))
        found: NDArray[np.float32] = maps.cpu().contiguous().numpy()
        return found


class TorchLibrary:
    """Computes the networks of a bundle by torch.

    Parameters
    ----------
    device : as torch names it, for example ``cpu`` or ``cuda:0``

    Raises
    ------
    BundleError
        The machine has no such device.
    ComputingError
        The device cannot compute in the precision asked for.
    """

    def __init__(self, device: str = "cpu", options: ComputingOptions | None = None) -> None:
        self._computer = TorchComputer(device, options)
        self._images = _ImagesOnDevice(self._computer)

    @property
    def identity(self) -> EngineIdentity:
        """Return what results say of the engine."""
        return self._computer.identity

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute a batch; what it has on the device is kept until it is done, and no longer.

        Raises
        ------
        BatchMemoryError
            The batch does not fit into the memory that is free.
        """
        try:
            with self._computer.computing():
                yield
        finally:
            self._images.forget()

    def encoder(
        self, network: EfficientNet, tensors: Tensors, prefix: str, size: tuple[int, int]
    ) -> TorchEncoder:
        """Build an image encoder, which takes images of any size."""
        padding = PUBLISHED_PADDING if network.is_fixed else DYNAMIC_PADDING
        with torch.device("meta"):
            encoder = ImageEncoder(network.architecture, padding)
        _load(encoder.backbone, tensors, prefix)
        return TorchEncoder(encoder, self._images)

    def detectors(self, architectures: Mapping[str, str], tensors: Tensors) -> TorchBoxModel:
        """Build detectors."""
        with torch.device("meta"):
            detectors = {name: Detector(value, 1) for name, value in architectures.items()}
        for name, detector in detectors.items():
            _load(detector, tensors, detector_prefix(name))
        return TorchBoxModel(detectors, self._computer)


class _ImagesOnDevice:
    """The batch at hand, brought to the device once for all encoders that look at it."""

    def __init__(self, computer: TorchComputer) -> None:
        self.computer = computer
        self._batch: NDArray[np.float32] | None = None
        self._images: Tensor | None = None

    def of(self, batch: NDArray[np.float32]) -> Tensor:
        """Return a batch on the device."""
        if self._images is None or self._batch is not batch:
            self.forget()
            self._images = self.computer.images(batch)
            self._batch = batch
        return self._images

    def forget(self) -> None:
        """Let the device have its memory back."""
        self._batch = self._images = None


def _load(module: nn.Module, tensors: Tensors, prefix: str) -> None:
    """Give a module without weights those of its name in a bundle."""
    state = {name: torch.from_numpy(tensors[prefix + name]) for name in module.state_dict()}
    module.load_state_dict(state, strict=True, assign=True)
