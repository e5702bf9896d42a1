"""A loss on labels: the prompts of each finding, on the whole image and on its cells."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoclip_core.lexicon import DENSITY, MASS, SUSPICIOUS_CALCIFICATION
from training.data.breast_records import ImageLabels
from training.reports.report_synthesis import Attribute

FINDINGS: Final = (
    (Attribute.MASS, MASS),
    (Attribute.SUSPICIOUS_CALCIFICATION, SUSPICIOUS_CALCIFICATION),
)
UNKNOWN: Final = -1

PROMPTS: Final = tuple(text for _, entry in FINDINGS for text in entry.prompts) + DENSITY.prompts


def label_numbers(labels: ImageLabels | None) -> list[int]:
    """Return 0, 1 or -1 (not known) a finding, then the density category's number or -1."""
    if labels is None:
        return [UNKNOWN] * (len(FINDINGS) + 1)
    shown = {item.attribute for item in labels.observations}
    density = "ABCD".index(labels.density) if labels.density else UNKNOWN
    return [*(int(attribute in shown) for attribute, _ in FINDINGS), density]


class LabelLoss(nn.Module):
    """Trains the prompts' own task on images whose labels are known; not part of the paper.

    A lesion fills a few cells of a feature map and is lost in the mean over all of them. So the
    same comparison is made at each cell too, and the best few answer for the image: multiple
    instance learning, which needs no boxes.

    Parameters
    ----------
    top_cells : cells that answer for an image
    """

    def __init__(self, top_cells: int = 4) -> None:
        super().__init__()
        self.top_cells = top_cells
        self.slopes = nn.Parameter(torch.full((len(FINDINGS),), 0.1))
        self.offsets = nn.Parameter(torch.full((len(FINDINGS),), -1.0))

    def forward(
        self,
        feature_map: Tensor,
        *,
        projection: nn.Module,
        embeddings: Tensor,
        prompts: Tensor,
        scale: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """Compute the loss over images.

        Parameters
        ----------
        feature_map : (B, C, H, W)
        embeddings : (B, D) of L2 norm 1
        prompts : (P, D), in the order of `PROMPTS`
        scale : factor on the cosines
        labels : (B, findings + 1), as `label_numbers`

        Returns
        -------
        Tensor
            Sum of the parts' means; 0 where nothing is known.
        """
        pairs = prompts[: 2 * len(FINDINGS)].reshape(len(FINDINGS), 2, -1)
        directions = pairs[:, 1] - pairs[:, 0]
        cells = projection(feature_map.flatten(2).transpose(1, 2))
        best = (cells @ directions.T).topk(min(self.top_cells, cells.shape[1]), dim=1).values
        local = self.slopes * best.mean(dim=1) + self.offsets
        whole = scale * embeddings @ directions.T
        density = scale * embeddings @ prompts[2 * len(FINDINGS) :].T
        return (
            _binary(local, labels[:, :-1])
            + _binary(whole, labels[:, :-1])
            + _categorical(density, labels[:, -1])
        )


def stacked_labels(labels: Sequence[ImageLabels | None]) -> Tensor:
    """Return (B, findings + 1) numbers."""
    return torch.tensor([label_numbers(item) for item in labels])


def _binary(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels != UNKNOWN
    losses = functional.binary_cross_entropy_with_logits(
        logits, labels.clamp(min=0).to(logits.dtype), reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp(min=1)


def _categorical(logits: Tensor, labels: Tensor) -> Tensor:
    known = (labels != UNKNOWN).sum()
    total = functional.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="sum")
    return total / known.clamp(min=1)
