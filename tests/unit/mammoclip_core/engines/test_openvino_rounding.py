"""OpenVINO's answers lie as near to those of double precision as torch's own do."""

import math
from functools import partial

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13 as ops
from reproducible_weights import textured_half_ellipse

from mammoclip_core.engines.openvino_graph import detector_graph, mean_of_cells
from mammoclip_core.engines.openvino_library import OpenVinoNetwork, OpenVinoOptions, compiled
from mammoclip_core.images.detector_input import to_detector_input
from mammoclip_core.networks.anchors import anchors_of, decode
from mammoclip_core.networks.detector import Detector
from mammoclip_core.networks.efficientnet import DYNAMIC_PADDING, EfficientNet
from mammoclip_core.networks.image_encoder import ImageEncoder
from training.detection.fitting import initialise

B5 = "tf_efficientnet_b5"
NOISE = 2.0
"""How many times torch's own distance from double precision another order of sums may be off."""


def picture(side: int) -> torch.Tensor:
    whole = torch.from_numpy(to_detector_input(textured_half_ellipse(512, 512)))
    return whole[..., :side, :side].expand(1, 3, -1, -1).contiguous()


def settled_on(encoder: ImageEncoder, image: torch.Tensor) -> None:
    """Give BatchNorm the statistics of an image, so that random weights answer to it."""
    layers = [one for one in encoder.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
    encoder.train()
    with torch.no_grad():
        encoder.feature_map(image)
    encoder.eval()
    for layer in layers:
        layer.running_var.clamp_(min=1e-3)


def distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def test_mean_of_many_cells_keeps_its_digits() -> None:
    values = np.random.default_rng(0).random((24, 256, 256), np.float32)
    image = ops.parameter([1, *values.shape], np.float32)
    # After a convolution the library lays channels out in blocks of 16, and sums otherwise.
    identity = ops.constant(np.eye(24, dtype=np.float32)[:, :, None, None])
    layer = ops.convolution(image, identity, [1, 1], [0, 0], [0, 0], [1, 1])
    graph = ov.Model([mean_of_cells(layer)], [image], "mean")

    found = compiled(graph, OpenVinoOptions())(values[None])[0]

    np.testing.assert_allclose(found[0, :, 0, 0], values.mean((1, 2), dtype=np.float64), rtol=2e-6)


@pytest.mark.long
def test_boxes_of_a_b5_detector_are_as_near_to_double_precision_as_torchs() -> None:
    torch.manual_seed(0)
    image = picture(512)
    detector = Detector(B5, 1)
    initialise(detector)
    for head in (detector.classes, detector.boxes):
        torch.nn.init.normal_(head.output.weight, std=1 / math.sqrt(9 * 256))
    torch.nn.init.constant_(detector.classes.output.bias, -5.6)
    settled_on(detector.encoder, image)
    detector.eval()
    tensors = {name: value.numpy() for name, value in detector.state_dict().items()}
    network = EfficientNet(B5, DYNAMIC_PADDING)
    build = partial(detector_graph, network, tensors, "", (512, 512), 1)

    mine = [
        torch.from_numpy(part[0])
        for part in OpenVinoNetwork(build, (512, 512), OpenVinoOptions()).infer(image[0].numpy())
    ]

    with torch.inference_mode():
        single = [part[0] for part in detector(image)]
        exact = [part[0] for part in detector.double()(image.double())]
    seen = (exact[0][:, 0] > 0.05).numpy()
    assert seen.any()
    anchors = anchors_of(512, 512)

    def off(found: list[torch.Tensor]) -> tuple[float, float]:
        boxes, wanted = (
            decode(anchors, one[1].double().numpy(), 512, 512) for one in (found, exact)
        )
        return (
            float((found[0] - exact[0]).abs().max()),
            float(np.abs(boxes - wanted)[seen].max()),
        )

    for name, own, torchs in zip(("probability", "pixels"), off(mine), off(single), strict=True):
        assert own < NOISE * torchs, name
