"""What pretraining and Mammo-FActOR minimise, with embeddings gathered from all ranks."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import torch
from torch import Tensor, distributed
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.nn import functional


class MultiViewEmbeddings(NamedTuple):
    """Two images and two texts of each breast, as embeddings (B, D) of L2 norm 1."""

    first_images: Tensor
    second_images: Tensor
    first_texts: Tensor
    second_texts: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionWeights:
    """How much each kind of pair counts; the defaults are the paper's.

    Attributes
    ----------
    across_views : bool
        Whether an image is also compared with the other view's text. With False, and 0 for pairs of
        images and of texts, what is left is CLIP's loss on single views.
    """

    image_text: float = 1.0
    image_image: float = 1.0
    text_text: float = 0.5
    across_views: bool = True

    def __post_init__(self) -> None:
        if min(self.image_text, self.image_image, self.text_text) < 0:
            raise ValueError(f"a weight of the loss is negative: {self}")


PAPER_WEIGHTS: Final = SupervisionWeights()
ATTENTION_TEMPERATURE: Final = 0.1
"""Cosines of cells are divided by it before a sentence chooses among them."""


class FactorForm(StrEnum):
    """Which images stand against a positive image of an attribute."""

    PUBLISHED = "published"
    """As written officially: a positive image adds exp(0) = 1 to the negatives."""

    CONTRASTIVE = "contrastive"
    """The images without the attribute alone."""


def gathered(embeddings: Tensor) -> Tensor:
    """Join the embeddings of all ranks, (B, D) to (ranks B, D), in the order of the ranks.

    The gradient of a rank's rows is the sum over what all ranks computed from them. When every
    rank computes the loss of the joint batch, and gradients are averaged over ranks as
    DistributedDataParallel does, parameters receive the gradient of the joint batch. Every rank
    brings the same number of rows. Without a process group nothing changes.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return embeddings
    if distributed.get_world_size() == 1:
        return embeddings
    joined: Tensor = _Gather.apply(embeddings)
    return joined


def contrastive_loss(
    first: Tensor, second: Tensor, scale: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Ask each row of `first` for its partner in `second` and the other way round.

    Parameters
    ----------
    first, second : (B, D) of L2 norm 1
        Row n of one belongs to row n of the other.
    scale : factor on the cosines, ``exp(logit_scale)``
    label_smoothing : [0, 1)

    Returns
    -------
    Tensor
        Mean of both directions' cross-entropies.
    """
    return _both_ways(scale * first @ second.T, label_smoothing)


def multi_view_loss(
    embeddings: MultiViewEmbeddings,
    scale: Tensor,
    weights: SupervisionWeights = PAPER_WEIGHTS,
    *,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the multi-view supervision loss over the joint batch of all ranks.

    Parameters
    ----------
    scale : factor on the cosines, ``exp(logit_scale)``
    label_smoothing : [0, 1)
        The paper uses none.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.1.
    """
    first_images, second_images, first_texts, second_texts = map(gathered, embeddings)

    def between(first: Tensor, second: Tensor) -> Tensor:
        return contrastive_loss(first, second, scale, label_smoothing=label_smoothing)

    pairs = [between(first_images, first_texts), between(second_images, second_texts)]
    if weights.across_views:
        pairs += [between(first_images, second_texts), between(second_images, first_texts)]
    return (
        weights.image_text * torch.stack(pairs).mean()
        + weights.image_image * between(first_images, second_images)
        + weights.text_text * between(first_texts, second_texts)
    )


def local_loss(cells: Tensor, sentences: Tensor, scale: Tensor) -> Tensor:
    """Ask each image for its text's sentences, each by the cells that it attends to.

    A sentence weighs the cells of an image by their cosines and is compared with their weighted
    mean; an image and a text are as similar as the text's sentences are to the image on average.
    Computed over the joint batch of all ranks: memory grows with the square of the batch.

    Parameters
    ----------
    cells : (B, P, D) of L2 norm 1
    sentences : (B, S, D) of L2 norm 1
        Those of row n belong to the image of row n.
    scale : factor on the cosines

    References
    ----------
    Huang et al., GLoRIA (ICCV 2021), section 3.3, with sentences in place of words.
    """
    cells, sentences = gathered(cells), gathered(sentences)
    cosines = torch.einsum("ipd,jsd->ijsp", cells, sentences)
    attention = (cosines / ATTENTION_TEMPERATURE).softmax(dim=-1)
    attended = functional.normalize(torch.einsum("ijsp,ipd->ijsd", attention, cells), dim=-1)
    return _both_ways(scale * torch.einsum("ijsd,jsd->ijs", attended, sentences).mean(dim=-1))


def factor_loss(
    similarities: Tensor, labels: Tensor, form: FactorForm = FactorForm.PUBLISHED
) -> Tensor:
    """Compute the Mammo-FActOR loss: the mean over all positive pairs of image and attribute.

    Parameters
    ----------
    similarities : (B, attributes)
        Of images and attributes: the best channel's, after division by the temperature.
    labels : (B, attributes) of 0 and 1
        The paper shows only images with at least one attribute; others count as negatives.

    Returns
    -------
    Tensor
        0 for a batch without any positive pair.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.3.
    """
    is_positive = labels.bool()
    masked = (
        similarities.masked_fill(is_positive, 0.0)
        if form is FactorForm.PUBLISHED
        else similarities.masked_fill(is_positive, -torch.inf)
    )
    # -log(exp(s) / (exp(s) + exp(n))) is softplus(n - s), which neither over- nor underflows.
    losses = functional.softplus(masked.logsumexp(dim=0) - similarities)
    return losses[is_positive].sum() / is_positive.sum().clamp(min=1)


def _both_ways(logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean of both directions' cross-entropies; row n belongs to column n."""
    partners = torch.arange(len(logits), device=logits.device)
    there, back = (
        functional.cross_entropy(rows, partners, label_smoothing=label_smoothing)
        for rows in (logits, logits.T)
    )
    return (there + back) / 2


class _Gather(Function):
    """All ranks' rows; sums of gradients on the way back, on every backend."""

    @staticmethod
    def forward(ctx: FunctionCtx, embeddings: Tensor) -> Tensor:
        parts = [torch.empty_like(embeddings) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, embeddings.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        joined = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(joined)
        return joined.chunk(distributed.get_world_size())[distributed.get_rank()]
