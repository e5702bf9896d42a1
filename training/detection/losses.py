"""What a detector's training minimises: focal loss on anchors, smooth L1 on boxes."""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou, sigmoid_focal_loss

from mammoclip_core.networks.anchors import CENTRE_UNIT, SIDE_UNIT

POSITIVE_OVERLAP = 0.5
NEGATIVE_OVERLAP = 0.4
"""From which and up to which intersection over union an anchor is an object, or background."""

SMOOTH_L1_BETA = 1 / 9
LEAST_SIDE = 1.0
"""Pixels; of a true box, before its logarithm is taken."""


def detection_loss(
    outputs: tuple[Tensor, Tensor],
    anchors: Tensor,
    truths: list[Tensor],
    *,
    alpha: float,
    gamma: float,
    with_clean: bool = False,
) -> Tensor:
    """Compute the loss of a batch: the mean over its images of both parts' sum.

    The published code clamps probabilities to [1e-4, 1 - 1e-4] before the logarithm; this computes
    from logits, which needs no clamp and is the same in between.

    Parameters
    ----------
    outputs : logits (B, A, 1) and deltas (B, A, 4)
    anchors : (A, 4) left, top, right, bottom
    truths : (M, 4) boxes of each image
    alpha, gamma : of the focal loss
    with_clean : bool
        An image without a box counts as background; as published, it adds nothing.

    References
    ----------
    Lin et al., Focal loss for dense object detection (ICCV 2017), sections 3 and 4.
    """
    parts = []
    for logits, deltas, boxes in zip(*outputs, truths, strict=True):
        if not len(boxes):
            parts.append(
                _focal(logits[:, 0], torch.zeros_like(logits[:, 0]), alpha, gamma).sum()
                if with_clean
                else logits.sum() * 0.0
            )
            continue
        is_positive, is_judged, own = matched(anchors, boxes)
        count = is_positive.sum().clamp(min=1)
        classes = _focal(logits[is_judged, 0], is_positive[is_judged].float(), alpha, gamma).sum()
        part = classes / count
        if is_positive.any():
            part = part + functional.smooth_l1_loss(
                deltas[is_positive],
                encoded(anchors[is_positive], boxes[own[is_positive]]),
                beta=SMOOTH_L1_BETA,
            )
        parts.append(part)
    return torch.stack(parts).mean()


def matched(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tell which anchors are objects, which are judged at all, and each one's best box, (A,)."""
    overlap, own = box_iou(anchors, boxes).max(dim=1)
    is_positive = overlap >= POSITIVE_OVERLAP
    return is_positive, is_positive | (overlap < NEGATIVE_OVERLAP), own


def encoded(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return the deltas, (N, 4), by which anchors become boxes; undone by `anchors.decode`."""
    sides, wanted = anchors[:, 2:] - anchors[:, :2], boxes[:, 2:] - boxes[:, :2]
    shift = (boxes[:, :2] + 0.5 * wanted) - (anchors[:, :2] + 0.5 * sides)
    growth = torch.log(wanted.clamp(min=LEAST_SIDE) / sides)
    return torch.cat([shift / sides / CENTRE_UNIT, growth / SIDE_UNIT], dim=1)


def _focal(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    losses: Tensor = sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma)
    return losses
