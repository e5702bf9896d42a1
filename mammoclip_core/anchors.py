"""Anchors of a detector: where its boxes start from, how they are decoded and selected."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import nms

STRIDES: Final = (8, 16, 32, 64, 128)
"""Input pixels a cell, by level of the pyramid."""

RATIOS: Final = (0.5, 1.0, 2.0)
"""Height over width."""

SCALES: Final = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
ANCHORS_A_CELL: Final = len(RATIOS) * len(SCALES)
SIDE_IN_STRIDES: Final = 4
CENTRE_UNIT: Final = 0.1
SIDE_UNIT: Final = 0.2
"""What a regressed 1 means: a tenth of a side, a fifth of the side's natural logarithm."""

SCORE_THRESHOLD: Final = 0.05
OVERLAP_LIMIT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """The boxes of one image that are left, by falling score.

    Attributes
    ----------
    anchors : (K,) int64
    scores : (K,) in [0, 1]
    labels : (K,) int64
        The class of the highest score.
    boxes : (K, 4) left, top, right, bottom in pixels of the detector's input
    """

    anchors: Tensor
    scores: Tensor
    labels: Tensor
    boxes: Tensor


def anchors_of(rows: int, columns: int) -> Tensor:
    """Compute all anchors of an input size, by level, row, column, ratio and scale.

    Returns
    -------
    (A, 4) float32
        Left, top, right, bottom in input pixels; many reach beyond the input.
    """
    levels = [_anchors_of_level(rows, columns, stride) for stride in STRIDES]
    return torch.from_numpy(np.concatenate(levels).astype(np.float32))


def decode(anchors: Tensor, deltas: Tensor, rows: int, columns: int) -> Tensor:
    """Move and scale anchors by what the detector regresses.

    Left and top are clipped at 0 alone, right and bottom at the far edges alone, as published: a
    box outside the input keeps a negative extent.

    Parameters
    ----------
    anchors, deltas : (A, 4)
    """
    sides = anchors[:, 2:] - anchors[:, :2]
    centres = anchors[:, :2] + 0.5 * sides + CENTRE_UNIT * deltas[:, :2] * sides
    sides = sides * torch.exp(SIDE_UNIT * deltas[:, 2:])
    far_edges = sides.new_tensor((columns, rows))
    return torch.cat(
        [
            (centres - 0.5 * sides).clamp(min=0),
            torch.minimum(centres + 0.5 * sides, far_edges),
        ],
        dim=1,
    )


def select(scores: Tensor, boxes: Tensor) -> Selection:
    """Keep the boxes above the score threshold that no better one overlaps, whatever its class.

    Parameters
    ----------
    scores : (A, classes)
    boxes : (A, 4)
    """
    best, labels = scores.max(dim=1)
    candidates = torch.nonzero(best > SCORE_THRESHOLD)[:, 0]
    kept = candidates[nms(boxes[candidates], best[candidates], OVERLAP_LIMIT)]
    return Selection(anchors=kept, scores=best[kept], labels=labels[kept], boxes=boxes[kept])


def _anchors_of_level(rows: int, columns: int, stride: int) -> NDArray[np.float64]:
    sides = stride * SIDE_IN_STRIDES * np.array(SCALES)
    roots = np.sqrt(np.array(RATIOS))[:, np.newaxis]
    widths, heights = (sides / roots).ravel(), (sides * roots).ravel()
    shapes = np.stack([-widths, -heights, widths, heights], axis=1) / 2
    down, across = np.meshgrid(
        (np.arange(-(-rows // stride)) + 0.5) * stride,
        (np.arange(-(-columns // stride)) + 0.5) * stride,
        indexing="ij",
    )
    centres = np.stack([across, down, across, down], axis=-1).reshape(-1, 1, 4)
    anchors: NDArray[np.float64] = (centres + shapes).reshape(-1, 4)
    return anchors
