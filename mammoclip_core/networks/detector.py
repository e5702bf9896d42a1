"""The published detector: a pyramid over an encoder's taps, with a class and a box head."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.networks.anchors import ANCHORS_A_CELL, Selection, anchors_of, decode, select
from mammoclip_core.networks.detector_layout import (
    BOX_COORDINATES,
    HIDDEN_LAYERS,
    PYRAMID_CHANNELS,
)
from mammoclip_core.networks.image_encoder import DYNAMIC_PADDING, ImageEncoder


class Pyramid(nn.Module):
    """Five levels of equal width from three taps of an encoder.

    Parameters
    ----------
    taps : channels of the taps at strides 16, 32 and 32
    """

    def __init__(self, taps: tuple[int, int, int]) -> None:
        super().__init__()
        width = PYRAMID_CHANNELS
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in taps)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in taps)
        self.sixth = nn.Conv2d(taps[2], width, 3, stride=2, padding=1)
        self.seventh = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, taps: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        """Compute the levels, finest first.

        The published pyramid enlarges the lateral branches too, and takes the sixth level from the
        encoder and not from the fifth.
        """
        third, fourth, fifth = (layer(tap) for layer, tap in zip(self.lateral, taps, strict=True))
        fourth = _twice(fourth) + _twice(fifth)
        third = _twice(third) + _twice(fourth)
        levels = [
            layer(level) for layer, level in zip(self.smooth, (third, fourth, fifth), strict=True)
        ]
        sixth = self.sixth(taps[2])
        return [*levels, sixth, self.seventh(functional.relu(sixth))]


class DetectorHead(nn.Module):
    """Values of every anchor of every level, by the same convolutions for all levels.

    Parameters
    ----------
    values : numbers an anchor
    """

    def __init__(self, values: int) -> None:
        super().__init__()
        width = PYRAMID_CHANNELS
        self.values = values
        self.hidden = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1) for _ in range(HIDDEN_LAYERS)
        )
        self.output = nn.Conv2d(width, ANCHORS_A_CELL * values, 3, padding=1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Compute the values, (B, A, values), in the order of the anchors."""
        return torch.cat([self._of_level(level) for level in levels], dim=1)

    def _of_level(self, level: Tensor) -> Tensor:
        for layer in self.hidden:
            level = functional.relu(layer(level))
        output: Tensor = self.output(level)
        return output.permute(0, 2, 3, 1).reshape(len(output), -1, self.values)


class Detector(nn.Module):
    """Boxes on (B, 3, H, W) images whose sides are multiples of 32.

    Its encoder pads by the size of its input: for the detector, and there alone, this is what the
    published weights expect.
    """

    def __init__(self, architecture: str, classes: int) -> None:
        super().__init__()
        self.encoder = ImageEncoder(architecture, DYNAMIC_PADDING)
        self.pyramid = Pyramid(self.encoder.tap_channels)
        self.boxes = DetectorHead(BOX_COORDINATES)
        self.classes = DetectorHead(classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute scores, (B, A, classes), and deltas, (B, A, 4), of all anchors."""
        levels = self.pyramid(self.encoder.taps(images))
        return torch.sigmoid(self.classes(levels)), self.boxes(levels)

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Selection]:
        """Return the boxes that are left on each image."""
        return selections(self(images), *images.shape[2:])


def selections(outputs: tuple[Tensor, Tensor], rows: int, columns: int) -> list[Selection]:
    """Return the boxes that are left of what a detector gives for images of a size."""
    anchors = anchors_of(rows, columns)
    arrays = (values.float().cpu().numpy() for values in outputs)
    return [
        select(scores, decode(anchors, deltas, rows, columns))
        for scores, deltas in zip(*arrays, strict=True)
    ]


def _twice(values: Tensor) -> Tensor:
    return functional.interpolate(values, scale_factor=2, mode="nearest")
