"""From pooled features to embeddings, in numpy, and what each channel adds to a similarity."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import BundleError
from mammoclip_core.networks.efficientnet import Shapes

LINEAR: Final = "linear"
MLP: Final = "mlp"
NONE: Final = "none"

_NORM_EPSILON: Final = 1e-5
_SHORTEST: Final = 1e-12

Array = NDArray[np.float32]


def projection_shapes(kind: str, size: int, projection_size: int) -> Shapes:
    """Return the tensors of a projection of (B, `size`) features to (B, `projection_size`).

    Raises
    ------
    BundleError
        The kind is not known, or leaving the features as they are would change their size.
    """
    inner = (projection_size,)
    if kind == LINEAR:
        return {"weight": (projection_size, size), "bias": inner}
    if kind == MLP:
        return {
            "projection.weight": (projection_size, size),
            "projection.bias": inner,
            "fc.weight": (projection_size, projection_size),
            "fc.bias": inner,
            "layer_norm.weight": inner,
            "layer_norm.bias": inner,
        }
    if kind == NONE and size == projection_size:
        return {}
    raise BundleError(f"projection {kind!r} from {size} to {projection_size} is not known")


class MapProjection:
    """One of the forms of `mammoclip_core.networks.projection`, with unit length behind it.

    Parameters
    ----------
    tensors : by the names of `projection_shapes`
    """

    def __init__(self, kind: str, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._kind = kind
        self._tensors = {name: value.astype(np.float32) for name, value in tensors.items()}

    def __call__(self, features: Array) -> Array:
        """Take pooled features, (B, C), to embeddings, (B, D) of L2 norm 1."""
        return _unit(self._projected(features))

    def channel_weights(self, features: Array, direction: Array) -> Array:
        """Tell what each channel adds to the similarity with a direction, (B, C).

        Of a linear projection the same for all images, before the embedding's length; of the
        other form the gradient of the similarity at the image's own features.

        Parameters
        ----------
        direction : (D,)
            The positive prompt's embedding less the negative one's.
        """
        if self._kind == NONE:
            return np.broadcast_to(direction, features.shape)
        if self._kind == LINEAR:
            return np.broadcast_to(direction @ self._tensors["weight"], features.shape)
        return self._gradient(features, direction)

    def _projected(self, features: Array) -> Array:
        if self._kind == NONE:
            return features
        if self._kind == LINEAR:
            return self._linear(features, "")
        projected = self._linear(features, "projection.")
        normed = _standardised(projected + self._linear(_gelu(projected), "fc."))[0]
        gain, offset = self._tensors["layer_norm.weight"], self._tensors["layer_norm.bias"]
        return normed * gain + offset

    def _gradient(self, features: Array, direction: Array) -> Array:
        """Go back through length, LayerNorm, residual and the first layer."""
        projected = self._linear(features, "projection.")
        normed, deviation = _standardised(projected + self._linear(_gelu(projected), "fc."))
        gain = self._tensors["layer_norm.weight"]
        output = normed * gain + self._tensors["layer_norm.bias"]
        length = _length(output)
        along = (output @ direction)[:, None] / length**2
        inner = (direction - output * along) / length * gain
        inner = inner - inner.mean(axis=1, keepdims=True)
        inner = (inner - normed * (inner * normed).mean(axis=1, keepdims=True)) / deviation
        inner = inner + _gelu_slope(projected) * (inner @ self._tensors["fc.weight"])
        gradient: Array = inner @ self._tensors["projection.weight"]
        return gradient

    def _linear(self, values: Array, layer: str) -> Array:
        result: Array = values @ self._tensors[f"{layer}weight"].T + self._tensors[f"{layer}bias"]
        return result


def _standardised(values: Array) -> tuple[Array, Array]:
    """Return values of mean 0 and deviation 1 along each row, and the deviations before."""
    centred = values - values.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + np.float32(_NORM_EPSILON))
    return centred / deviation, deviation


def _unit(values: Array) -> Array:
    unit: Array = values / _length(values)
    return unit


def _length(values: Array) -> Array:
    lengths = np.linalg.norm(values, axis=1, keepdims=True).astype(np.float32)
    centred_unit: Array = np.maximum(lengths, np.float32(_SHORTEST))
    return centred_unit


def _normal_share(values: Array) -> Array:
    """Return the share of a normal distribution below each value."""
    inner = [math.erf(value / math.sqrt(2)) for value in values.ravel().tolist()]
    return ((1 + np.array(inner)) / 2).astype(np.float32).reshape(values.shape)


def _gelu(values: Array) -> Array:
    return values * _normal_share(values)


def _gelu_slope(values: Array) -> Array:
    density = np.exp(-(values**2) / 2) / np.float32(math.sqrt(2 * math.pi))
    slope: Array = (_normal_share(values) + values * density).astype(np.float32)
    return slope
