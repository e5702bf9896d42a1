"""Image encoders and detectors as OpenVINO graphs, built from a bundle's tensors."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.bundles.tensors import Tensors
from mammoclip_core.engines.openvino_import import ops, ov
from mammoclip_core.networks.detector_layout import HIDDEN_LAYERS
from mammoclip_core.networks.efficientnet import NORM_EPSILON, Block, Convolution, EfficientNet

_CELLS: Final = (2, 3)
"""Axes of the cells of a (B, C, H, W) map."""


def encoder_graph(
    network: EfficientNet, tensors: Tensors, prefix: str, size: tuple[int, int]
) -> ov.Model:
    """Build the graph from one (1, 3, rows, columns) image to its last feature map.

    Parameters
    ----------
    tensors : by name, `prefix` included
    size : (rows, columns)
    """
    image = _image(size)
    *_, last = _taps(network, tensors, prefix, image)
    return ov.Model([last], [image], network.head.name)


def detector_graph(
    network: EfficientNet, tensors: Tensors, prefix: str, size: tuple[int, int], classes: int
) -> ov.Model:
    """Build the graph from one image to the scores and the deltas of all anchors.

    As `mammoclip_core.networks.detector` says of the layers: its tensors have the same names here.
    """
    image = _image(size)
    taps = _taps(network, tensors, f"{prefix}encoder.backbone.", image)
    levels = _pyramid(taps, tensors, f"{prefix}pyramid.")
    scores = ops.sigmoid(_head(levels, tensors, f"{prefix}classes.", classes))
    return ov.Model([scores, _head(levels, tensors, f"{prefix}boxes.", 4)], [image], "detector")


def _image(size: tuple[int, int]) -> ov.Node:
    return ops.parameter([1, 3, *size], np.float32, name="image")


def _taps(
    network: EfficientNet, tensors: Tensors, prefix: str, image: ov.Node
) -> tuple[ov.Node, ov.Node, ov.Node]:
    """Return the outputs of the two tapped blocks and of the head."""
    build = _Encoder(network, tensors, prefix)
    values = build.convolved(network.stem, image)
    tapped = {}
    for block in network.blocks:
        values = build.block(block, values)
        if block in network.tapped:
            tapped[block] = values
    third, fourth = network.tapped
    return tapped[third], tapped[fourth], build.convolved(network.head, values)


class _Encoder:
    """Builds the layers of one encoder."""

    def __init__(self, network: EfficientNet, tensors: Tensors, prefix: str) -> None:
        self._network = network
        self._tensors = tensors
        self._prefix = prefix

    def block(self, block: Block, values: ov.Node) -> ov.Node:
        inner = values if block.expand is None else self.convolved(block.expand, values)
        inner = self._excited(block, self.convolved(block.depthwise, inner))
        result = self.convolved(block.project, inner)
        return ops.add(result, values) if block.is_residual else result

    def convolved(self, layer: Convolution, values: ov.Node) -> ov.Node:
        """Convolve with the BatchNorm folded in; a folded layer is exact to rounding."""
        gain, mean, bias = (
            self._tensor(layer.norm, part) for part in ("weight", "running_mean", "bias")
        )
        gain = gain / np.sqrt(self._tensor(layer.norm, "running_var") + NORM_EPSILON)
        filters = self._tensors[f"{self._prefix}{layer.name}.weight"]
        weights = np.empty(filters.shape, np.float32)
        # Multiplied in float64 piece by piece: whole copies would take longer than the rest.
        np.multiply(filters, gain[:, None, None, None], out=weights, casting="same_kind")
        offset = (bias - mean * gain).reshape(1, -1, 1, 1)
        convolution = ops.group_convolution if layer.is_depthwise else ops.convolution
        kernel = _constant(weights[:, None] if layer.is_depthwise else weights)
        result = convolution(values, kernel, [layer.stride] * 2, *self._padding(layer))
        result = ops.add(result, _constant(offset))
        return ops.swish(result) if layer.is_activated else result

    def _excited(self, block: Block, values: ov.Node) -> ov.Node:
        squeezed = mean_of_cells(values)
        name = f"{self._prefix}{block.name}.se.conv_"
        squeezed = ops.swish(_convolved(squeezed, self._tensors, f"{name}reduce"))
        return ops.multiply(
            values, ops.sigmoid(_convolved(squeezed, self._tensors, f"{name}expand"))
        )

    def _padding(self, layer: Convolution) -> tuple[Any, ...]:
        """Return the pixels before and after, and the rule that may replace them."""
        if layer.stride == 1:
            return [layer.kernel // 2] * 2, [layer.kernel // 2] * 2, [1, 1], "explicit"
        if not self._network.is_fixed:
            return [0, 0], [0, 0], [1, 1], "same_upper"
        _, before, after = self._network.padding[layer.name]
        return [before] * 2, [after] * 2, [1, 1], "explicit"

    def _tensor(self, layer: str, part: str) -> NDArray[np.float64]:
        return self._tensors[f"{self._prefix}{layer}.{part}"].astype(np.float64)


def _pyramid(
    taps: tuple[ov.Node, ov.Node, ov.Node], tensors: Tensors, prefix: str
) -> list[ov.Node]:
    third, fourth, fifth = (
        _convolved(tap, tensors, f"{prefix}lateral.{number}") for number, tap in enumerate(taps)
    )
    fourth = ops.add(_twice(fourth), _twice(fifth))
    third = ops.add(_twice(third), _twice(fourth))
    levels = [
        _convolved(level, tensors, f"{prefix}smooth.{number}")
        for number, level in enumerate((third, fourth, fifth))
    ]
    sixth = _convolved(taps[2], tensors, f"{prefix}sixth", stride=2)
    return [*levels, sixth, _convolved(ops.relu(sixth), tensors, f"{prefix}seventh", stride=2)]


def _head(levels: list[ov.Node], tensors: Tensors, prefix: str, values: int) -> ov.Node:
    return ops.concat([_level(level, tensors, prefix, values) for level in levels], axis=1)


def _level(level: ov.Node, tensors: Tensors, prefix: str, values: int) -> ov.Node:
    for number in range(HIDDEN_LAYERS):
        level = ops.relu(_convolved(level, tensors, f"{prefix}hidden.{number}"))
    output = ops.transpose(_convolved(level, tensors, f"{prefix}output"), np.array([0, 2, 3, 1]))
    return ops.reshape(output, np.array([1, -1, values]), special_zero=False)


def _convolved(values: ov.Node, tensors: Tensors, name: str, stride: int = 1) -> ov.Node:
    """Convolve with a bias, padded by half the kernel."""
    weights = tensors[f"{name}.weight"]
    padding = [weights.shape[-1] // 2] * 2
    result = ops.convolution(values, _constant(weights), [stride] * 2, padding, padding, [1, 1])
    return ops.add(result, _constant(tensors[f"{name}.bias"].reshape(1, -1, 1, 1)))


def mean_of_cells(values: ov.Node) -> ov.Node:
    """Average a map over its cells: each row, then the rows.

    One sum over all cells, of which early layers have 65,536, loses two digits to rounding;
    OpenVINO joins two averages into one again unless something lies between them.
    """
    _, channels, rows, _ = values.shape
    means = ops.reduce_mean(values, np.array([3]), keep_dims=False)
    shape = np.array([1, channels, rows, 1])
    return ops.reduce_mean(
        ops.reshape(means, shape, special_zero=False), np.array([2]), keep_dims=True
    )


def _twice(values: ov.Node) -> ov.Node:
    """Repeat each cell in both directions."""
    result = values
    for axis in _CELLS:
        repeated = ops.unsqueeze(result, np.array([axis + 1]))
        repeated = ops.concat([repeated, repeated], axis=axis + 1)
        rows, columns = result.shape[2:]
        shape = [1, result.shape[1], rows * (1 + (axis == 2)), columns * (1 + (axis == 3))]
        result = ops.reshape(repeated, np.array(shape), special_zero=False)
    return result


def _constant(values: NDArray[Any]) -> ov.Node:
    """Return the values as a node that keeps the array and copies nothing."""
    return ops.constant(np.ascontiguousarray(values, np.float32), shared_memory=True)
