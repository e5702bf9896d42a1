"""Loading of pretraining's pictures: read, scaled and augmented, by each preset and by none."""

import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from _report import Row

PICTURES = 4


def loading_rows(scratch: Path, rounds: int, size: tuple[int, int]) -> list[Row]:
    """Load pictures on one thread, as a worker process of a loader does, by every preset in turn.

    Parameters
    ----------
    size : (rows, columns)
    """
    from training.data.augmentation import PRESETS
    from training.data.image_source import PictureFolder

    folder = scratch / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(1)
    for number in range(PICTURES):
        breast = cv2.GaussianBlur(noise.integers(0, 255, size).astype(np.uint8), (0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), breast)
    source = PictureFolder(folder, size)
    speeds: dict[str, list[float]] = {name: [] for name in PRESETS}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in range(rounds + 1):  # the first round only warms up
            for name, augmentation in PRESETS.items():
                began = time.perf_counter()
                for place in range(PICTURES * 2):
                    augmentation(source(f"{place % PICTURES}.png"), number * 100 + place)
                if number:
                    speeds[name].append(2 * PICTURES / (time.perf_counter() - began))
    finally:
        torch.set_num_threads(threads)
    return [
        Row(
            measure=f"loading: {size[0]} x {size[1]} PNG, augmentation {name}, one thread",
            unit="pictures/s",
            ours=statistics.median(measured),
            against="not augmented" if name != "none" else "",
            theirs=statistics.median(speeds["none"]) if name != "none" else None,
            ratio=statistics.median(
                own / plain for own, plain in zip(measured, speeds["none"], strict=True)
            )
            if name != "none"
            else None,
            details={"seconds_median": 1 / statistics.median(measured)},
        )
        for name, measured in speeds.items()
    ]
