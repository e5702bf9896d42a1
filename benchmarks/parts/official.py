"""EfficientNet in the arithmetic of the authors' code: the anchor of the inference benchmark.

Written from the description of that code and from the EfficientNet paper (arXiv 1905.11946), not
from the code: contiguous tensors, padding by layers of its own, BatchNorm and swish by themselves.
"""

from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.networks.image_encoder import FixedPaddingConv2d, ImageEncoder


class Swish(nn.Module):
    """x times sigmoid of x, in two steps."""

    def forward(self, values: Tensor) -> Tensor:
        """Apply it."""
        return values * values.sigmoid()


class PaddedConvolution(nn.Module):
    """A layer that pads, then a convolution that does not."""

    def __init__(self, source: nn.Conv2d) -> None:
        super().__init__()
        before = after = source.kernel_size[0] // 2
        if isinstance(source, FixedPaddingConv2d):
            before, after = source.before, source.after
        self.padding = nn.ZeroPad2d((before, after, before, after))
        self.weight = source.weight
        self.stride = source.stride
        self.groups = source.groups

    def forward(self, values: Tensor) -> Tensor:
        """Pad and convolve."""
        return functional.conv2d(
            self.padding(values), self.weight, stride=self.stride, groups=self.groups
        )


class SqueezeExcite(nn.Module):
    """Weigh the channels by what they hold on average."""

    def __init__(self, reduce: nn.Module, expand: nn.Module) -> None:
        super().__init__()
        self.reduce = reduce
        self.expand = expand
        self.activation = Swish()

    def forward(self, values: Tensor) -> Tensor:
        """Weigh."""
        squeezed = functional.adaptive_avg_pool2d(values, 1)
        squeezed = self.expand(self.activation(self.reduce(squeezed)))
        return squeezed.sigmoid() * values


def official_arithmetic(encoder: ImageEncoder) -> ImageEncoder:
    """Change an encoder that is not folded to the authors' arithmetic, and return it."""
    for parent in list(encoder.modules()):
        for name, module in list(parent.named_children()):
            successor = _plain(module)
            if successor is not None:
                setattr(parent, name, successor)
    return encoder.eval().requires_grad_(requires_grad=False)


def _plain(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:
        return PaddedConvolution(module)
    if isinstance(module, nn.BatchNorm2d):
        norm = nn.BatchNorm2d(module.num_features, eps=module.eps)
        norm.load_state_dict(module.state_dict())
        is_activated = isinstance(module.get_submodule("act"), nn.SiLU)
        return nn.Sequential(norm, Swish()) if is_activated else norm
    if hasattr(module, "conv_reduce"):
        return SqueezeExcite(
            module.get_submodule("conv_reduce"), module.get_submodule("conv_expand")
        )
    return None
