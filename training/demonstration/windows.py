"""Windows of prepared phantoms, each with what lies in it: a small field for the first lessons.

A lesion fills little of a whole image. The first stage of the demonstration's training sees windows
of a quarter of the area, chosen so that they hold the lesion where there is one: this stage knows
where lesions are. Whole images follow, with labels alone.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from training.demonstration.images import TRUTH_NAME, TrueImage, read_truth
from training.pretraining.image_source import ARRAY_NAME, NAMES_NAME, RANGES_NAME
from training.pretraining.records import BreastRecord

_TRIES: Final = 20
_TISSUE: Final = 20
_LEAST_TISSUE: Final = 0.6


def cut_windows(source: Path, out: Path, size: tuple[int, int], seed: int) -> None:
    """Cut one window out of each image of a folder that `prepare_phantoms` made."""
    images = np.load(source / ARRAY_NAME, mmap_mode="r")
    truth = read_truth(source)
    out.mkdir(parents=True, exist_ok=True)
    windows = np.lib.format.open_memmap(out / ARRAY_NAME, "w+", np.uint8, (len(truth), *size))
    ranges = np.zeros((len(truth), 2), np.uint8)
    kept = []
    for place, item in enumerate(truth):
        image = np.array(images[place])
        generator = np.random.default_rng([seed, place])
        top, left = _corner(image, item, size, generator)
        windows[place] = image[top : top + size[0], left : left + size[1]]
        ranges[place] = image.min(), image.max()
        inside = tuple(
            lesion
            for lesion in item.lesions
            if left <= (lesion.box[0] + lesion.box[2]) / 2 < left + size[1]
            and top <= (lesion.box[1] + lesion.box[3]) / 2 < top + size[0]
        )
        kept.append(replace(item, lesions=inside))
    windows.flush()
    np.save(out / RANGES_NAME, ranges)
    (out / TRUTH_NAME).write_text(json.dumps([asdict(item) for item in kept]), encoding="utf-8")
    (out / NAMES_NAME).write_text(json.dumps([item.name for item in kept]), encoding="utf-8")


def window_records(records: list[BreastRecord], folder: Path) -> list[BreastRecord]:
    """Keep of each image's labels what lies in its window."""
    shown = {
        item.name: {lesion.attribute for lesion in item.lesions} for item in read_truth(folder)
    }
    return [
        replace(
            record,
            labels={
                name: replace(
                    labels,
                    observations=tuple(
                        item for item in labels.observations if item.attribute in shown[name]
                    ),
                )
                for name, labels in record.labels.items()
            },
        )
        for record in records
    ]


def _corner(
    image: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
    item: TrueImage,
    size: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[int, int]:
    """Return (top, left): around a lesion, else where there is tissue."""
    room = (image.shape[0] - size[0], image.shape[1] - size[1])
    if item.lesions:
        left, top, right, bottom = item.lesions[generator.integers(len(item.lesions))].box
        row = (top + bottom) / 2 - size[0] * generator.uniform(0.25, 0.75)
        column = (left + right) / 2 - size[1] * generator.uniform(0.25, 0.75)
        return int(np.clip(row, 0, room[0])), int(np.clip(column, 0, room[1]))
    place = (0, 0)
    for _ in range(_TRIES):
        place = (int(generator.integers(room[0] + 1)), int(generator.integers(room[1] + 1)))
        window = image[place[0] : place[0] + size[0], place[1] : place[1] + size[1]]
        if (window > _TISSUE).mean() > _LEAST_TISSUE:
            break
    return place
