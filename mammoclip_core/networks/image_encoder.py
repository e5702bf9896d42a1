"""EfficientNet through timm, padded as the published weights expect."""

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.networks.efficientnet import (
    DYNAMIC_PADDING,
    NOMINAL_SIZES,
    PUBLISHED_PADDING,
    EfficientNet,
)

__all__ = ["DYNAMIC_PADDING", "NOMINAL_SIZES", "PUBLISHED_PADDING", "ImageEncoder"]


class FixedPaddingConv2d(nn.Conv2d):
    """A strided convolution that pads by the same amounts whatever its input's size.

    Parameters
    ----------
    before, after : pixels
        Padding left and above, right and below.
    """

    def __init__(self, source: nn.Conv2d, before: int, after: int) -> None:
        super().__init__(
            source.in_channels,
            source.out_channels,
            (source.kernel_size[0], source.kernel_size[1]),
            stride=(source.stride[0], source.stride[1]),
            groups=source.groups,
            bias=source.bias is not None,
            device=source.weight.device,
            dtype=source.weight.dtype,
        )
        self.before = before
        self.after = after

    def forward(self, input: Tensor) -> Tensor:
        """Pad, then convolve."""
        padded = functional.pad(input, (self.before, self.after, self.before, self.after))
        return super().forward(padded)


class ImageEncoder(nn.Module):
    """Feature maps and pooled features of images.

    Parameters
    ----------
    architecture : timm model name
        One of `NOMINAL_SIZES`.
    padding : ``published`` or ``dynamic``
        Published weights were trained with stride-2 padding that was computed once, for a square
        input of nominal size. timm's own depends on the input: the map has the same size, another
        sampling grid and wrong features, without any error.
    """

    def __init__(self, architecture: str, padding: str = PUBLISHED_PADDING) -> None:
        super().__init__()
        self.architecture = architecture
        self.layout = EfficientNet(architecture, padding)
        self.backbone = timm.create_model(architecture, pretrained=False, num_classes=0)
        self.size: int = self.backbone.num_features
        if self.layout.is_fixed:
            _fix_padding(self.backbone, self.layout.padding)

    @property
    def stride(self) -> int:
        """Return the model input's pixels a cell of the feature map."""
        return self.layout.stride

    @property
    def first_centre(self) -> float:
        """Return where the first cell looks: index of its central input pixel along an axis."""
        return self.layout.first_centre

    def map_size(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the cells of the feature map, (H, W), of an input of some size."""
        return self.layout.map_size(rows, columns)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the last feature map, (B, C, H, W), of (B, 3, rows, columns) images."""
        result: Tensor = self.backbone.forward_features(images)
        return result

    @property
    def block_channels(self) -> int:
        """Return the channels behind the last block."""
        return int(self.backbone.conv_head.in_channels)

    def block_map(self, images: Tensor) -> Tensor:
        """Compute what lies behind the last block, (B, c, H, W): all but the last convolution."""
        values = self.backbone.bn1(self.backbone.conv_stem(images))
        result: Tensor = self.backbone.blocks(values)
        return result

    def from_blocks(self, block_map: Tensor) -> Tensor:
        """Compute the last feature map, (B, C, H, W), from what `block_map` gives."""
        result: Tensor = self.backbone.bn2(self.backbone.conv_head(block_map))
        return result

    @property
    def tap_channels(self) -> tuple[int, int, int]:
        """Return the channels of the taps."""
        third, fourth = (block.conv_pwl.out_channels for block in self._tapped_blocks())
        return third, fourth, self.size

    def taps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the feature maps that a detector's pyramid stands on.

        Returns
        -------
        (B, C, H, W) each
            After the last block of stride 16, after the last but one block of all (stride 32), and
            the last feature map.
        """
        third, fourth = self._tapped_blocks()
        tapped = {}
        values = self.backbone.bn1(self.backbone.conv_stem(images))
        for stage in self.backbone.blocks:
            for block in stage:
                values = block(values)
                if block in {third, fourth}:
                    tapped[block] = values
        return tapped[third], tapped[fourth], self.from_blocks(values)

    def _tapped_blocks(self) -> tuple[Any, Any]:
        stages = self.backbone.blocks
        return stages[4][-1], [block for stage in stages for block in stage][-2]

    def forward(self, images: Tensor) -> Tensor:
        """Compute the pooled features, (B, C)."""
        return pooled(self.feature_map(images))


def pooled(feature_map: Tensor) -> Tensor:
    """Average a (B, C, H, W) feature map over its cells."""
    return feature_map.mean(dim=(2, 3))


def _fix_padding(backbone: nn.Module, table: Mapping[str, tuple[int, int, int]]) -> None:
    for name, (_, before, after) in table.items():
        parent_name, _, attribute = name.rpartition(".")
        convolution = backbone.get_submodule(name)
        if not isinstance(convolution, nn.Conv2d):
            raise TypeError(f"{name} is not a convolution")
        fixed = FixedPaddingConv2d(convolution, before, after)
        if not convolution.weight.is_meta:
            with torch.no_grad():
                fixed.weight.copy_(convolution.weight)
        setattr(backbone.get_submodule(parent_name), attribute, fixed)
