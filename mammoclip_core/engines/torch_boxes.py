"""The detectors of a bundle in torch: the boxes that they report on each image."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.engines.torch_computing import TorchComputer
from mammoclip_core.networks.anchors import reported
from mammoclip_core.networks.detector import Detector
from mammoclip_core.prediction import DetectedBox


class TorchBoxModel:
    """The exact detectors: torch in float32, whatever the precision of the encoders."""

    def __init__(self, detectors: Mapping[str, Detector], computer: TorchComputer) -> None:
        self._computer = computer
        self._detectors = {
            name: computer.ready(detector, exact=True) for name, detector in detectors.items()
        }

    def detect(self, batch: NDArray[np.float32]) -> list[dict[str, tuple[DetectedBox, ...]]]:
        """Return each detector's boxes on each image of a (B, 3, 512, 512) batch, in order."""
        with self._computer.computing():
            images = self._computer.images(batch, exact=True)
            found = {name: detector.detect(images) for name, detector in self._detectors.items()}
        return [
            {name: reported(selections[position]) for name, selections in found.items()}
            for position in range(len(batch))
        ]
