"""A few numbers that stand for the embeddings of a study's images.

They serve to notice that images look otherwise to the model than they did, by another scanner or
its software. 16 of some hundred numbers, and the mean of all images: nobody is recognised by them.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

NUMBERS: Final = 16


def summarised(embeddings: Sequence[NDArray[np.float32] | None]) -> tuple[float, ...]:
    """Return 16 numbers, or none if no image has an embedding.

    Embeddings are brought to length 1, averaged, and shown on the first cosines of their numbers
    (the rows of a DCT-II): fixed directions at right angles, the same in every release.

    Parameters
    ----------
    embeddings : of the images, each of the same length
    """
    given = [one.astype(np.float64) for one in embeddings if one is not None]
    if not given or len({one.shape for one in given}) > 1:
        return ()
    lengths = [float(np.linalg.norm(one)) for one in given]
    unit = [one / length for one, length in zip(given, lengths, strict=True) if length > 0]
    if not unit:
        return ()
    mean = np.mean(unit, axis=0)
    places = (np.arange(len(mean)) + 0.5) / len(mean)
    rows = np.cos(np.pi * np.arange(1, NUMBERS + 1)[:, None] * places[None, :])
    rows *= np.sqrt(2 / len(mean))
    return tuple(round(float(one), 6) for one in rows @ mean)
