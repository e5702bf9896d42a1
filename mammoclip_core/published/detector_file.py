"""A published detector's checkpoint read as the tensors of a `Detector`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from mammoclip_core.errors import CheckpointError
from mammoclip_core.networks.anchors import ANCHORS_A_CELL
from mammoclip_core.networks.detector import Detector
from mammoclip_core.published.checkpoint import read_checkpoint, tensors_of
from mammoclip_core.published.checkpoint_layout import (
    Place,
    Plan,
    encoder_plan,
    recognise_architecture,
    rename,
)

ENCODER_PREFIX: Final = "efficientnet."
UNUSED: Final = frozenset({"efficientnet._fc.weight", "efficientnet._fc.bias"})
"""The encoder's own classifier: saved, and never computed with."""

CLASS_OUTPUT: Final = "classificationModel.output.weight"
PYRAMID_NAMES: Final = {
    "lateral.0": "P3_1",
    "lateral.1": "P4_1",
    "lateral.2": "P5_1",
    "smooth.0": "P3_2",
    "smooth.1": "P4_2",
    "smooth.2": "P5_2",
    "sixth": "P6",
    "seventh": "P7_2",
}
HEAD_NAMES: Final = {
    "hidden.0": "conv1",
    "hidden.1": "conv2",
    "hidden.2": "conv3",
    "hidden.3": "conv4",
    "output": "output",
}
_PARTS: Final = {
    "pyramid": ("fpn", PYRAMID_NAMES),
    "boxes": ("regressionModel", HEAD_NAMES),
    "classes": ("classificationModel", HEAD_NAMES),
}
"""Published name of each part, and of its layers, by the detector's own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectorFile:
    """What a detector's checkpoint holds.

    Attributes
    ----------
    state : tensors under the names of a `Detector`
    mean_average_precision : as the file states, or None
        Measured by its authors on images that all hold the finding.
    """

    state: dict[str, Tensor]
    architecture: str
    classes: int
    mean_average_precision: float | None

    def build(self) -> Detector:
        """Return the detector with its weights, ready to detect."""
        with torch.device("meta"):
            detector = Detector(self.architecture, self.classes)
        detector.load_state_dict(self.state, strict=True, assign=True)
        return detector.eval().requires_grad_(requires_grad=False)


def read_detector(path: Path) -> DetectorFile:
    """Read a published detector's checkpoint, without running any of it.

    Raises
    ------
    CheckpointError
        The file is damaged, unsafe or of another model; differing tensors are named.
    """
    origin = path.name
    content = read_checkpoint(path)
    if "state_dict" not in content:
        raise CheckpointError(f"{origin} is not a detector: it has no 'state_dict'")
    state = tensors_of(content, "state_dict", origin)
    classes = _classes_of(state, origin)
    state = {name: value for name, value in state.items() if name not in UNUSED}
    architecture = recognise_architecture(state, ENCODER_PREFIX, origin)
    score = content.get("best_MAP", content.get("MAP"))
    return DetectorFile(
        state=rename(state, detector_plan(architecture, classes), origin),
        architecture=architecture,
        classes=classes,
        mean_average_precision=score if isinstance(score, float) else None,
    )


def detector_plan(architecture: str, classes: int) -> Plan:
    """Return the plan of a detector's tensors."""
    with torch.device("meta"):
        shapes = {
            name: tuple(value.shape)
            for name, value in Detector(architecture, classes).state_dict().items()
        }
    plan = encoder_plan(architecture, ENCODER_PREFIX, "encoder.")
    for part, (published, layers) in _PARTS.items():
        for own, layer in layers.items():
            for kind in ("weight", "bias"):
                name = f"{part}.{own}.{kind}"
                plan[f"{published}.{layer}.{kind}"] = Place(name=name, shape=shapes[name])
    return plan


def _classes_of(state: Mapping[str, Tensor], origin: str) -> int:
    output = state.get(CLASS_OUTPUT)
    if output is None or output.ndim == 0:
        raise CheckpointError(f"{origin} is not a detector: it has no {CLASS_OUTPUT}")
    classes, rest = divmod(len(output), ANCHORS_A_CELL)
    if rest or not classes:
        raise CheckpointError(
            f"{origin}: {len(output)} outputs of {CLASS_OUTPUT} are not a multiple of"
            f" {ANCHORS_A_CELL} anchors"
        )
    return classes
