"""Mammo-FActOR: which channels of a feature map belong to an attribute, and where they look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

TEMPERATURE: Final = 0.07
"""Divides the dot product of a channel and an attribute."""

DEFAULT_TOP_CHANNELS: Final = 3
"""Channels whose maps make the heatmap, as the paper shows."""

FACTOR_PREFIX: Final = "factor."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FactorWeights:
    """One attribute's network over a channel's flattened map, and the attribute's embedding.

    Attributes
    ----------
    hidden_weight, hidden_bias : (H W, H W) and (H W,) float32
    output_weight, output_bias : (D, H W) and (D,) float32
    attribute : (D,) float32 of L2 norm 1
        Mean of the embeddings of its sentences.
    """

    hidden_weight: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    output_weight: NDArray[np.float32]
    output_bias: NDArray[np.float32]
    attribute: NDArray[np.float32]


def factor_shapes(cells: int, size: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors of one attribute, by the names of `FactorWeights`."""
    return {
        "hidden_weight": (cells, cells),
        "hidden_bias": (cells,),
        "output_weight": (size, cells),
        "output_bias": (size,),
        "attribute": (size,),
    }


def factor_name(finding: str, tensor: str) -> str:
    """Return the name of an attribute's tensor in a bundle."""
    return f"{FACTOR_PREFIX}{finding}.{tensor}"


def factor_weights(tensors: Mapping[str, NDArray[np.float32]], finding: str) -> FactorWeights:
    """Gather one attribute's tensors."""
    return FactorWeights(
        **{name: tensors[factor_name(finding, name)] for name in factor_shapes(1, 1)}
    )


def channel_similarities(
    feature_map: NDArray[np.float32], weights: FactorWeights
) -> NDArray[np.float32]:
    """Compare each channel of a (C, H, W) feature map with the attribute, (C,).

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.3.
    """
    channels = feature_map.reshape(len(feature_map), -1)
    hidden = np.maximum(channels @ weights.hidden_weight.T + weights.hidden_bias, 0)
    embeddings = hidden @ weights.output_weight.T + weights.output_bias
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1), np.float32(1e-12))
    similarities: NDArray[np.float32] = (embeddings @ weights.attribute) / lengths
    return similarities / np.float32(TEMPERATURE)


def image_similarity(similarities: NDArray[np.float32]) -> float:
    """Tell how much an image shows the attribute: its best channel's similarity."""
    return float(similarities.max())


def factor_activation(
    feature_map: NDArray[np.float32],
    similarities: NDArray[np.float32],
    top_channels: int = DEFAULT_TOP_CHANNELS,
) -> NDArray[np.float32]:
    """Sum the maps of the channels that are most similar to the attribute, (H, W)."""
    best = np.argsort(-similarities, kind="stable")[:top_channels]
    total: NDArray[np.float32] = feature_map[best].sum(axis=0, dtype=np.float32)
    return total
