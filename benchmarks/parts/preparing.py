"""How many pictures a second ``mammoclip-train prepare`` makes of DICOM files, by processes."""

import csv
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from training.preparation.prepare_folder import Order, prepare_folder


def make_source(folder: Path, samples: Sequence[Path], pictures: int) -> Path:
    """Lay out a folder of so many files and the table that names them; returns the table."""
    folder.mkdir()
    table = folder / "files.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "image_id", "patient_id"])
        for number in range(pictures):
            name = f"{number:04d}"
            shutil.copy(samples[number % len(samples)], folder / f"{name}.dcm")
            writer.writerow([f"{name}.dcm", name, name])
    return table


def pictures_a_second(
    source: Path, table: Path, scratch: Path, processes: int, size: tuple[int, int]
) -> float:
    """Prepare all files into a fresh folder."""
    order = Order(
        source=source,
        out=scratch / "prepared",
        tables=(table,),
        rows=size[0],
        columns=size[1],
        processes=processes,
        folds=0,
    )
    begun = time.perf_counter()
    outcome = prepare_folder(order, _no_bar)
    seconds = time.perf_counter() - begun
    if outcome.failures:
        raise SystemExit(f"not prepared: {outcome.failures}")
    shutil.rmtree(order.out)
    return outcome.made / seconds


@contextmanager
def _no_bar(_title: str, _total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None
