"""Breasts in batches, in an order that a killed run takes up where it stopped."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from mammoclip_core.networks.text_encoder import Tokenizer
from training.data.augmentation import Augmentation
from training.data.breast_records import BreastRecord
from training.data.image_source import ImageSource
from training.errors import SettingsError
from training.pretraining.label_loss import stacked_labels
from training.pretraining.texts import texts_of
from training.reports.report_text import SENTENCE_END

_IMAGES, _TEXTS, _AUGMENTATION = 1, 2, 3
"""Streams of random numbers of one sample."""

SENTENCES: Final = 4
"""Of each text that are compared with parts of images: the first, or all in turn."""


class Sample(NamedTuple):
    """Two images, (2, 1, rows, columns) in [0, 1], two texts, and labels (2, findings + 1)."""

    images: Tensor
    texts: tuple[str, str]
    labels: Tensor


class Batch(NamedTuple):
    """Samples joined: images (B, 2, 1, rows, columns), tokens of (2 B) texts, first texts first.

    Attributes
    ----------
    sentences : tokens of `SENTENCES` of each text, (2 B SENTENCES); empty where nobody asks
    """

    images: Tensor
    tokens: dict[str, Tensor]
    labels: Tensor
    sentences: dict[str, Tensor] = {}  # noqa: RUF012


class BreastSamples(Dataset[Sample]):
    """Samples by (epoch, place): the same for the same seed, epoch and place.

    Parameters
    ----------
    excerpt_share : as `texts_of`
    """

    def __init__(
        self,
        records: Sequence[BreastRecord],
        images: ImageSource,
        augmentation: Augmentation,
        seed: int,
        *,
        excerpt_share: float = 0.0,
    ) -> None:
        self._records = records
        self._images = images
        self._augmentation = augmentation
        self._seed = seed
        self._excerpt_share = excerpt_share

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return the sample of an epoch and a place."""
        epoch, place = key
        record = self._records[place]

        def stream(number: int) -> np.random.Generator:
            return np.random.default_rng([self._seed, number, epoch, place])

        names = two_images(record, stream(_IMAGES))
        seeds = stream(_AUGMENTATION).integers(2**31, size=2)
        images = [
            self._augmentation(self._images(name), int(seed))
            for name, seed in zip(names, seeds, strict=True)
        ]
        return Sample(
            images=torch.stack(images),
            texts=texts_of(record, names, stream(_TEXTS), excerpt_share=self._excerpt_share),
            labels=stacked_labels([record.labels.get(name) for name in names]),
        )


class ResumableBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, place) of one rank; the last incomplete batch of an epoch is left out.

    Parameters
    ----------
    step : returns how many batches were done before, over all epochs
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        *,
        step: Callable[[], int] = lambda: 0,
        rank: int = 0,
        ranks: int = 1,
        is_shuffled: bool = True,
    ) -> None:
        self._count = count
        self._batch_size = batch_size
        self._seed = seed
        self._step = step
        self._rank = rank
        self._ranks = ranks
        self._is_shuffled = is_shuffled
        if len(self) == 0:
            raise SettingsError(
                f"{count} breasts are too few for a batch of {batch_size} on {ranks} device(s)"
            )

    def __len__(self) -> int:
        return self._count // (self._batch_size * self._ranks)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield what is left of the epoch that the next step belongs to."""
        epoch, first = divmod(self._step(), len(self)) if self._is_shuffled else (0, 0)
        order = (
            np.random.default_rng([self._seed, epoch]).permutation(self._count)
            if self._is_shuffled
            else np.arange(self._count)
        )
        joint = self._batch_size * self._ranks
        for number in range(first, len(self)):
            start = number * joint + self._rank * self._batch_size
            yield [(epoch, int(place)) for place in order[start : start + self._batch_size]]


def two_images(record: BreastRecord, generator: np.random.Generator) -> tuple[str, str]:
    """Draw two images of a breast: of two views, else two of one view, else one twice.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.1.
    """
    views = [names for names in record.images.values() if names]
    if len(views) > 1:
        first, second = generator.permutation(len(views))[:2]
        return (str(generator.choice(views[first])), str(generator.choice(views[second])))
    names = views[0]
    if len(names) > 1:
        one, other = generator.permutation(len(names))[:2]
        return names[one], names[other]
    return names[0], names[0]


class Collate:
    """Joins samples into a batch.

    Parameters
    ----------
    with_sentences : texts are also given sentence by sentence
    """

    def __init__(self, tokenizer: Tokenizer, *, with_sentences: bool = False) -> None:
        self._tokenizer = tokenizer
        self._with_sentences = with_sentences

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Join samples; texts are padded to the longest."""
        texts = [sample.texts[side] for side in (0, 1) for sample in samples]
        return Batch(
            images=torch.stack([sample.images for sample in samples]),
            tokens=self._tokenizer(texts),
            labels=torch.stack([sample.labels for sample in samples]),
            sentences=self._tokenizer(_sentences(texts)) if self._with_sentences else {},
        )


def _sentences(texts: Sequence[str]) -> list[str]:
    own = [text.split(SENTENCE_END) for text in texts]
    return [lines[place % len(lines)] for lines in own for place in range(SENTENCES)]


def chunks_of(batch: Batch, size: int) -> list[Batch]:
    """Divide a batch into chunks of at most `size` breasts."""
    count = len(batch.images)
    parts: list[Batch] = []
    for start in range(0, count, size):
        places = torch.arange(start, min(start + size, count))
        both = torch.cat([places, places + count])
        lines = (both[:, None] * SENTENCES + torch.arange(SENTENCES)).flatten()
        parts.append(
            Batch(
                images=batch.images[places],
                tokens={name: value[both.to(value.device)] for name, value in batch.tokens.items()},
                labels=batch.labels[places],
                sentences={
                    name: value[lines.to(value.device)] for name, value in batch.sentences.items()
                },
            )
        )
    return parts
