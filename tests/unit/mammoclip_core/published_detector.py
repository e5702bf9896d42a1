"""A detector's checkpoint in the published layout, of random weights."""

from pathlib import Path

import torch

from mammoclip_core.networks.detector import Detector
from mammoclip_core.published.detector_file import detector_plan


def write_detector(path: Path, classes: int = 1, bias: float = 0.0) -> Path:
    """Write a detector whose every anchor scores the sigmoid of about `bias`."""
    torch.manual_seed(5)
    state = Detector("tf_efficientnet_b0", classes).state_dict()
    plan = detector_plan("tf_efficientnet_b0", classes)
    published = {key: state[place.name] for key, place in plan.items()}
    for part in ("classificationModel", "regressionModel"):
        published[f"{part}.output.weight"].mul_(0.01)
        published[f"{part}.output.bias"].fill_(0.0)
    published["classificationModel.output.bias"].fill_(bias)
    torch.save({"state_dict": published, "best_MAP": 0.5}, path)
    return path
