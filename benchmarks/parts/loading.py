"""Loading of pretraining's pictures: from PNG and from an array, augmented by presets and not."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch

from parts.report import Row

PICTURES = 4
PNG, ARRAY = "PNG", "array (pack)"


def loading_rows(scratch: Path, rounds: int, size: tuple[int, int]) -> list[Row]:
    """Load pictures on one thread, as a worker process of a loader does, in every way in turn.

    Parameters
    ----------
    size : (rows, columns)
    """
    from training.data.augmentation import PRESETS
    from training.data.image_source import ImageSource, image_source
    from training.preparation.picture_array import PackOrder, pack_pictures

    folder = scratch / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(1)
    for number in range(PICTURES):
        breast = cv2.GaussianBlur(noise.integers(0, 255, size).astype(np.uint8), (0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), breast)
    pack_pictures(PackOrder(source=folder, out=scratch / "array", size=size), unseen)
    sources: dict[str, ImageSource] = {
        PNG: image_source(folder, size),
        ARRAY: image_source(scratch / "array", size),
    }
    speeds: dict[tuple[str, str], list[float]] = {
        (kind, name): [] for kind in sources for name in PRESETS
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in range(rounds + 1):  # the first round only warms up
            for (kind, name), measured in speeds.items():
                began = time.perf_counter()
                for place in range(PICTURES * 2):
                    image = sources[kind](f"{place % PICTURES}.png")
                    PRESETS[name](image, number * 100 + place)
                if number:
                    measured.append(2 * PICTURES / (time.perf_counter() - began))
    finally:
        torch.set_num_threads(threads)
    plain = speeds[PNG, "none"]
    return [
        Row(
            measure=f"loading: {size[0]} x {size[1]} {kind}, augmentation {name}, one thread",
            unit="pictures/s",
            ours=statistics.median(measured),
            against="PNG, not augmented" if measured is not plain else "",
            theirs=statistics.median(plain) if measured is not plain else None,
            ratio=statistics.median(own / other for own, other in zip(measured, plain, strict=True))
            if measured is not plain
            else None,
            details={"seconds_median": 1 / statistics.median(measured)},
        )
        for (kind, name), measured in speeds.items()
    ]


@contextmanager
def unseen(title: str, total: int) -> Iterator[object]:
    """Stand for a bar that nobody looks at."""
    yield lambda: None
