"""How far the embedding of a study lies from those of a reference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EmbeddingReference:
    """Mean of one half of a reference, and distances of the other half to it.

    Two halves, since studies lie nearer to a mean that they are part of than later ones do.
    """

    mean: NDArray[np.float64]
    distances: tuple[float, ...]

    @classmethod
    def of(cls, embeddings: Sequence[Sequence[float]]) -> Self:
        """Return the reference of some embeddings, at least two."""
        values = np.asarray(embeddings, dtype=np.float64)
        mean = values[::2].mean(axis=0)
        reference = cls(mean=mean, distances=())
        return cls(mean=mean, distances=tuple(map(reference.distance, values[1::2])))

    def distance(self, embedding: Sequence[float] | NDArray[np.float64]) -> float:
        """Return the cosine distance to the mean: 0 in its direction, 1 across."""
        value = np.asarray(embedding, dtype=np.float64)
        length = math.sqrt(float(value @ value) * float(self.mean @ self.mean))
        return 1.0 - float(value @ self.mean) / length if length else 1.0
