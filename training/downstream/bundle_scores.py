"""What a bundle's engine says of files, before calibration."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.engines.choice import load_model
from mammoclip_core.errors import PixelError
from mammoclip_core.images.image_file import prepared_files
from training.data.image_files import said_of
from training.errors import TableError

_BATCH: Final = 4
_THREADS: Final = 2


def bundle_scores(
    bundle: Path,
    files: Sequence[Path],
    *,
    device: str = "cpu",
    on_images: Callable[[int], None] = lambda images: None,
) -> dict[str, NDArray[np.float64]]:
    """Return the score of each finding, (N,) [0, 1], for every file in order.

    Class sets, and findings that a detector answers, have none.

    Raises
    ------
    TableError
        Images cannot be read; the message names them.
    BundleError
        The bundle cannot be loaded.
    """
    model = load_model(bundle, device=device)
    scores: dict[str, list[float]] = {}
    failures: list[str] = []
    waiting: list[NDArray[np.float32]] = []

    def answer() -> None:
        batch = np.repeat(np.stack(waiting)[:, np.newaxis], 3, axis=1)
        for prediction in model.predict(batch):
            for name, score in prediction.scores.items():
                scores.setdefault(name, []).append(score)
        on_images(len(waiting))
        waiting.clear()

    outcomes = prepared_files(files, model.manifest.preprocessing, threads=_THREADS, ahead=_BATCH)
    for path, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, PixelError):
            failures.append(said_of(path, outcome))
            continue
        waiting.append(outcome.values)
        if len(waiting) == _BATCH:
            answer()
    if waiting:
        answer()
    if failures:
        listed = "\n  ".join(failures)
        raise TableError(f"{len(failures)} images cannot be read\n  {listed}")
    return {name: np.array(values) for name, values in scores.items()}
