"""A detector as data: the layers on top of its encoder, whatever computes them."""

from typing import Final

from mammoclip_core.networks.anchors import ANCHORS_A_CELL
from mammoclip_core.networks.efficientnet import DYNAMIC_PADDING, EfficientNet, Shapes, prefixed

PYRAMID_CHANNELS: Final = 256
HIDDEN_LAYERS: Final = 4
"""Of each of the two heads, before its output."""

BOX_COORDINATES: Final = 4


def detector_shapes(architecture: str, classes: int) -> Shapes:
    """Return the shapes of a detector's tensors in a bundle."""
    network = EfficientNet(architecture, DYNAMIC_PADDING)
    third, fourth = (block.project.outputs for block in network.tapped)
    width = PYRAMID_CHANNELS
    layers = {
        f"pyramid.lateral.{number}": (width, channels, 1)
        for number, channels in enumerate((third, fourth, network.size))
    }
    layers |= {f"pyramid.smooth.{number}": (width, width, 3) for number in range(3)}
    layers |= {"pyramid.sixth": (width, network.size, 3), "pyramid.seventh": (width, width, 3)}
    for head, values in (("boxes", BOX_COORDINATES), ("classes", classes)):
        layers |= {f"{head}.hidden.{number}": (width, width, 3) for number in range(HIDDEN_LAYERS)}
        layers[f"{head}.output"] = (ANCHORS_A_CELL * values, width, 3)
    shapes = prefixed("encoder.backbone.", network.shapes)
    for name, (outputs, inputs, kernel) in layers.items():
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{name}.bias"] = (outputs,)
    return shapes
