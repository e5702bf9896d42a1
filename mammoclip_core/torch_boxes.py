"""The detectors of a bundle in torch: the boxes that they report on each image."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from mammoclip_core.anchors import reported
from mammoclip_core.detector import Detector
from mammoclip_core.prediction import DetectedBox


class TorchBoxModel:
    """The exact detectors: torch in float32."""

    def __init__(self, detectors: Mapping[str, Detector], device: torch.device) -> None:
        self._device = device
        self._detectors = {
            name: detector.eval().requires_grad_(requires_grad=False).to(device)
            for name, detector in detectors.items()
        }

    def detect(self, batch: NDArray[np.float32]) -> list[dict[str, tuple[DetectedBox, ...]]]:
        """Return each detector's boxes on each image of a (B, 3, 512, 512) batch, in order."""
        images = torch.from_numpy(batch).to(self._device)
        found = {name: detector.detect(images) for name, detector in self._detectors.items()}
        return [
            {name: reported(selections[position]) for name, selections in found.items()}
            for position in range(len(batch))
        ]
