"""EfficientNet as data: its layers, their sizes and their padding, whatever computes them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mammoclip_core.errors import BundleError

NOMINAL_SIZES: Final[Mapping[str, int]] = {
    "tf_efficientnet_b0": 224,
    "tf_efficientnet_b1": 240,
    "tf_efficientnet_b2": 260,
    "tf_efficientnet_b3": 300,
    "tf_efficientnet_b4": 380,
    "tf_efficientnet_b5": 456,
    "tf_efficientnet_b6": 528,
    "tf_efficientnet_b7": 600,
}
"""Square input in pixels for which each architecture's padding was fixed."""

PUBLISHED_PADDING: Final = "published"
DYNAMIC_PADDING: Final = "dynamic"

NORM_EPSILON: Final = 1e-3

_SCALES: Final[Mapping[str, tuple[float, float]]] = {
    "tf_efficientnet_b0": (1.0, 1.0),
    "tf_efficientnet_b1": (1.0, 1.1),
    "tf_efficientnet_b2": (1.1, 1.2),
    "tf_efficientnet_b3": (1.2, 1.4),
    "tf_efficientnet_b4": (1.4, 1.8),
    "tf_efficientnet_b5": (1.6, 2.2),
    "tf_efficientnet_b6": (1.8, 2.6),
    "tf_efficientnet_b7": (2.0, 3.1),
}
"""Factors on the channels and on the blocks a stage."""

_STAGES: Final = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
"""Of B0: kernel, stride of the first block, expansion, channels and blocks of each stage."""

_STEM_CHANNELS: Final = 32
_HEAD_CHANNELS: Final = 1280
_SQUEEZE: Final = 4

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A convolution without bias, the BatchNorm behind it, and whether swish follows.

    Attributes
    ----------
    name, norm : names of the two as timm gives them
    """

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    is_depthwise: bool = False
    is_activated: bool = True

    @property
    def shapes(self) -> Shapes:
        """Return the shapes of the tensors by name."""
        inner = 1 if self.is_depthwise else self.inputs
        norm = ("weight", "bias", "running_mean", "running_var")
        return {
            f"{self.name}.weight": (self.outputs, inner, self.kernel, self.kernel),
            **{f"{self.norm}.{part}": (self.outputs,) for part in norm},
            f"{self.norm}.num_batches_tracked": (),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Expansion (or none), depthwise convolution, squeeze and excitation, projection.

    Attributes
    ----------
    squeezed : channels between squeeze and excitation
    is_residual : whether the input is added to the output
    """

    name: str
    expand: Convolution | None
    depthwise: Convolution
    squeezed: int
    project: Convolution
    is_residual: bool

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Return the convolutions in order of execution."""
        inner = (self.depthwise, self.project)
        return inner if self.expand is None else (self.expand, *inner)

    @property
    def shapes(self) -> Shapes:
        """Return the shapes of the tensors by name."""
        shapes: Shapes = {}
        for convolution in self.convolutions:
            shapes |= convolution.shapes
        wide, narrow = self.depthwise.outputs, self.squeezed
        return shapes | {
            f"{self.name}.se.conv_reduce.weight": (narrow, wide, 1, 1),
            f"{self.name}.se.conv_reduce.bias": (narrow,),
            f"{self.name}.se.conv_expand.weight": (wide, narrow, 1, 1),
            f"{self.name}.se.conv_expand.bias": (wide,),
        }


class EfficientNet:
    """The layers of one architecture.

    Parameters
    ----------
    architecture : timm model name
        One of `NOMINAL_SIZES`.
    padding : ``published`` or ``dynamic``
        Published weights were trained with stride-2 padding that was computed once, for a square
        input of nominal size; ``dynamic`` is the "SAME" rule for the input at hand.

    Raises
    ------
    BundleError
        The architecture or the padding is not known.

    References
    ----------
    Tan and Le, EfficientNet (ICML 2019), table 1 and section 5.
    """

    def __init__(self, architecture: str, padding: str = PUBLISHED_PADDING) -> None:
        if architecture not in NOMINAL_SIZES:
            raise BundleError(
                f"image encoder {architecture!r} is not one of {', '.join(NOMINAL_SIZES)}"
            )
        if padding not in {PUBLISHED_PADDING, DYNAMIC_PADDING}:
            raise BundleError(f"padding {padding!r} is neither published nor dynamic")
        self.architecture = architecture
        width, depth = _SCALES[architecture]
        self.is_fixed = padding == PUBLISHED_PADDING
        self.stem = Convolution(
            name="conv_stem",
            norm="bn1",
            inputs=3,
            outputs=_scaled(_STEM_CHANNELS, width),
            kernel=3,
            stride=2,
        )
        self.stages = tuple(_stages(self.stem.outputs, width, depth))
        self.blocks = tuple(block for stage in self.stages for block in stage)
        self.head = Convolution(
            name="conv_head",
            norm="bn2",
            inputs=self.blocks[-1].project.outputs,
            outputs=_scaled(_HEAD_CHANNELS, width),
        )
        self.padding = _fixed_padding(self._strided(), NOMINAL_SIZES[architecture])

    @property
    def size(self) -> int:
        """Return the channels of the feature map."""
        return self.head.outputs

    @property
    def tapped(self) -> tuple[Block, Block]:
        """Return the blocks behind which a detector taps, besides the head."""
        return self.stages[4][-1], self.blocks[-2]

    @property
    def stride(self) -> int:
        """Return the model input's pixels a cell of the feature map."""
        return 1 << len(self.padding)

    @property
    def first_centre(self) -> float:
        """Return where the first cell looks: index of its central input pixel along an axis."""
        centre, scale = 0.0, 1
        for kernel, before, _ in self.padding.values():
            centre += scale * ((kernel - 1) / 2 - before)
            scale *= 2
        return centre

    def map_size(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the cells of the feature map, (H, W), of an input of some size."""
        return self._cells(rows), self._cells(columns)

    @property
    def shapes(self) -> Shapes:
        """Return the shapes of all tensors, by the names that timm gives them."""
        shapes = self.stem.shapes
        for block in self.blocks:
            shapes |= block.shapes
        return shapes | self.head.shapes

    def _cells(self, length: int) -> int:
        for kernel, before, after in self.padding.values():
            padded = length + before + after
            length = (padded - kernel) // 2 + 1 if self.is_fixed else -(-length // 2)
        return length

    def _strided(self) -> Iterator[Convolution]:
        yield self.stem
        yield from (block.depthwise for block in self.blocks if block.depthwise.stride == 2)


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    """Return shapes under names that begin with a prefix."""
    return {prefix + name: shape for name, shape in shapes.items()}


def _fixed_padding(
    strided: Iterator[Convolution], nominal_size: int
) -> dict[str, tuple[int, int, int]]:
    """Compute the padding of each stride-2 convolution for a square input of nominal size.

    Returns
    -------
    dict
        Name to (kernel size, padding before, padding after), in order of execution.
    """
    size = nominal_size
    table = {}
    for layer in strided:
        output = -(-size // 2)
        total = max((output - 1) * 2 + layer.kernel - size, 0)
        table[layer.name] = (layer.kernel, total // 2, total - total // 2)
        size = output
    return table


def _stages(channels: int, width: float, depth: float) -> Iterator[tuple[Block, ...]]:
    for number, (kernel, stride, expansion, base, repeats) in enumerate(_STAGES):
        outputs = _scaled(base, width)
        blocks = []
        for position in range(math.ceil(repeats * depth)):
            blocks.append(
                _block(
                    f"blocks.{number}.{position}",
                    (channels, outputs),
                    kernel,
                    stride if position == 0 else 1,
                    expansion,
                )
            )
            channels = outputs
        yield tuple(blocks)


def _block(name: str, channels: tuple[int, int], kernel: int, stride: int, expansion: int) -> Block:
    inputs, outputs = channels
    wide = inputs * expansion
    is_expanded = expansion > 1
    norms = iter(f"{name}.bn{number}" for number in (1, 2, 3))
    expand = (
        Convolution(name=f"{name}.conv_pw", norm=next(norms), inputs=inputs, outputs=wide)
        if is_expanded
        else None
    )
    return Block(
        name=name,
        expand=expand,
        depthwise=Convolution(
            name=f"{name}.conv_dw",
            norm=next(norms),
            inputs=wide,
            outputs=wide,
            kernel=kernel,
            stride=stride,
            is_depthwise=True,
        ),
        squeezed=inputs // _SQUEEZE,
        project=Convolution(
            name=f"{name}.conv_pwl" if is_expanded else f"{name}.conv_pw",
            norm=next(norms),
            inputs=wide,
            outputs=outputs,
            is_activated=False,
        ),
        is_residual=stride == 1 and inputs == outputs,
    )


def _scaled(channels: int, width: float) -> int:
    """Scale to a multiple of 8, by not more than a tenth downwards."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
