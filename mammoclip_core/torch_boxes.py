"""The detectors of a bundle in torch: the boxes that they report on each image."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mammoclip_core.anchors import Selection
from mammoclip_core.detector import Detector
from mammoclip_core.manifest import BOX_THRESHOLD
from mammoclip_core.prediction import DetectedBox

MAX_BOXES: Final = 100
"""What the published evaluation reports of an image at most."""


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
            {name: _reported(selections[position]) for name, selections in found.items()}
            for position in range(len(batch))
        ]


def _reported(selection: Selection) -> tuple[DetectedBox, ...]:
    rows = zip(selection.boxes.cpu().tolist(), selection.scores.cpu().tolist(), strict=True)
    return tuple(
        DetectedBox(box=(box[0], box[1], box[2], box[3]), score=score)
        for box, score in list(rows)[:MAX_BOXES]
        if score > BOX_THRESHOLD
    )
