"""Anchors of a detector: where its boxes start from, how they are decoded and selected."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.findings import BOX_THRESHOLD
from mammoclip_core.prediction import DetectedBox

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

MAX_BOXES: Final = 100
"""What the published evaluation reports of an image at most."""

Array = NDArray[np.float32]


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

    anchors: NDArray[np.int64]
    scores: Array
    labels: NDArray[np.int64]
    boxes: Array


def anchors_of(rows: int, columns: int) -> Array:
    """Compute all anchors of an input size, by level, row, column, ratio and scale.

    Returns
    -------
    (A, 4) float32
        Left, top, right, bottom in input pixels; many reach beyond the input.
    """
    levels = [_anchors_of_level(rows, columns, stride) for stride in STRIDES]
    return np.concatenate(levels).astype(np.float32)


def decode(anchors: Array, deltas: Array, rows: int, columns: int) -> Array:
    """Move and scale anchors by what the detector regresses.

    Left and top are clipped at 0 alone, right and bottom at the far edges alone, as published: a
    box outside the input keeps a negative extent.

    Parameters
    ----------
    anchors, deltas : (A, 4) float32
    """
    sides = anchors[:, 2:] - anchors[:, :2]
    centres = (
        anchors[:, :2] + np.float32(0.5) * sides + np.float32(CENTRE_UNIT) * deltas[:, :2] * sides
    )
    with np.errstate(over="ignore"):  # a box without end is clipped, as published
        halves = np.float32(0.5) * sides * np.exp(np.float32(SIDE_UNIT) * deltas[:, 2:])
    near = np.maximum(centres - halves, np.float32(0))
    far = np.minimum(centres + halves, np.array((columns, rows), np.float32))
    return np.concatenate([near, far], axis=1)


def select(scores: Array, boxes: Array) -> Selection:
    """Keep the boxes above the score threshold that no better one overlaps, whatever its class.

    Parameters
    ----------
    scores : (A, classes)
    boxes : (A, 4)
    """
    labels = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), labels]
    candidates = np.flatnonzero(best > np.float32(SCORE_THRESHOLD))
    kept = candidates[_not_overlapped(boxes[candidates], best[candidates])]
    return Selection(anchors=kept, scores=best[kept], labels=labels[kept], boxes=boxes[kept])


def reported(selection: Selection) -> tuple[DetectedBox, ...]:
    """Return the boxes that the published evaluation reports, by falling score."""
    rows = zip(selection.boxes.tolist(), selection.scores.tolist(), strict=True)
    return tuple(
        DetectedBox(box=(box[0], box[1], box[2], box[3]), score=score)
        for box, score in list(rows)[:MAX_BOXES]
        if score > BOX_THRESHOLD
    )


def _not_overlapped(boxes: Array, scores: Array) -> NDArray[np.int64]:
    """Return the boxes, by falling score, that overlap no better one by more than the limit."""
    order = np.argsort(-scores, kind="stable")
    areas = _areas(boxes[:, :2], boxes[:, 2:])
    kept = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        near = np.maximum(boxes[first, :2], boxes[rest, :2])
        far = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        common = _areas(near, np.maximum(far, near))
        union = areas[first] + areas[rest] - common
        order = rest[~(common > np.float32(OVERLAP_LIMIT) * union)]
    return np.array(kept, np.int64)


def _areas(near: Array, far: Array) -> Array:
    sides = far - near
    areas: Array = sides[:, 0] * sides[:, 1]
    return areas


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
