"""What the held-out breasts say of a model while it learns: retrieval, and findings by prompts."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.measures.score_measures import accuracy, auroc, ranks_of_own_texts
from training.pretraining.label_loss import FINDINGS, UNKNOWN

_DECIMALS = 4
"""Texts whose embeddings are equal so far are one text."""


class ValidationFigures:
    """Gathers the embeddings of one look at the held-out breasts."""

    def __init__(self) -> None:
        self._images: list[Tensor] = []
        self._texts: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, images: tuple[Tensor, Tensor], texts: Tensor, labels: Tensor) -> None:
        """Take a batch.

        Parameters
        ----------
        images : first and second image of each breast, (B, D) of L2 norm 1
        texts : first text of each breast, (B, D)
        labels : (B, 2, findings + 1), `UNKNOWN` where nothing is known
        """
        self._images.append(torch.stack(images, dim=1).float().cpu())
        self._texts.append(texts.float().cpu())
        self._labels.append(labels.cpu())

    def figures(self, prompts: Tensor) -> dict[str, float]:
        """Return the figures that can be told, by name.

        Parameters
        ----------
        prompts : (P, D), of `label_loss.PROMPTS`
        """
        if not self._images:
            return {}
        images, texts = torch.cat(self._images), torch.cat(self._texts)
        rounded = np.round(texts.numpy(), _DECIMALS)
        _, first, own = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        ranks = ranks_of_own_texts(
            images[:, 0].numpy(), texts[first].numpy(), own.reshape(-1).tolist()
        )
        told = {
            "retrieval_mean_rank": float(ranks.mean()),
            "retrieval_recall_at_1": float((ranks == 1).mean()),
        }
        labels = torch.cat(self._labels).flatten(0, 1).numpy()
        cosines = (images.flatten(0, 1) @ prompts.float().cpu().T).numpy()
        return told | _zero_shot(cosines, labels)


def _zero_shot(cosines: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    told = {}
    for number, (_, entry) in enumerate(FINDINGS):
        known = labels[:, number] != UNKNOWN
        truth = labels[known, number]
        if len(np.unique(truth)) == 2:
            negative, positive = cosines[known, 2 * number], cosines[known, 2 * number + 1]
            told[f"zero_shot_auroc_{entry.name}"] = auroc(truth, positive - negative)
    known = labels[:, len(FINDINGS)] != UNKNOWN
    if known.any():
        guess = cosines[known, 2 * len(FINDINGS) :].argmax(axis=1)
        told["zero_shot_accuracy_density"] = accuracy(labels[known, len(FINDINGS)], guess)
    return told
