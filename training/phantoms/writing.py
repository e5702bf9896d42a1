"""Phantom patients to disk: pictures, masks, tables and DICOM studies, by several processes."""

import csv
import io
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.picture_file import prepared_png
from training.phantoms.families import draw_patient, draw_view
from training.phantoms.family import Family
from training.phantoms.published_tables import Row, Tables, image_path, mask_path, rows_of
from training.phantoms.view import COLUMNS, ROWS, VIEW_POSITIONS, PhantomView
from training.whole_file import whole_file, write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be written.

    Attributes
    ----------
    seed, studies : 0 or more
        Patients 0 to `studies` - 1 of the seed.
    rows, columns : pixels
    with_pictures, with_dicom : bool
    family : how the phantoms are drawn
    """

    seed: int
    studies: int
    out: Path
    rows: int = ROWS
    columns: int = COLUMNS
    with_pictures: bool = True
    with_dicom: bool = False
    first: int = 0
    family: Family = Family.VARIED


def write_phantoms(
    order: Order, processes: int = 1, on_study: Callable[[], None] = lambda: None
) -> None:
    """Write studies and, at the end, their tables; calls back after each study."""
    order.out.mkdir(parents=True, exist_ok=True)
    tables: Tables = {}
    for study in _studies(order, processes):
        for name, rows in study.items():
            tables.setdefault(name, []).extend(rows)
        on_study()
    for name, rows in tables.items():
        _write_table(order.out / name, rows)


def write_study(order: Order, number: int) -> Tables:
    """Write one study and return its rows of the tables."""
    patient = draw_patient(order.seed, number, order.family)
    views = [
        draw_view(patient, breast, view_position, order.rows, order.columns)
        for breast in patient.breasts
        for view_position in VIEW_POSITIONS
    ]
    for view in views:
        if order.with_pictures:
            _write_png(order.out / "png" / image_path(view), to_grey(view.pixels))
            for place, shown in enumerate(view.lesions, start=1):
                mask = shown.mask.astype(np.uint8) * np.uint8(255)
                _write_png(order.out / "masks" / mask_path(view, place), mask)
        if order.with_dicom:
            _write_dicom(order.out / "dicom" / patient.patient_id / f"{view.image_id}.dcm", view)
    return rows_of(patient, views)


def to_grey(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale stored values to 8 bits as the published pictures are: least 0, greatest 255."""
    values = pixels.astype(np.float32)
    values -= values.min()
    grey: NDArray[np.uint8] = (values * np.float32(255 / max(values.max(), 1.0))).astype(np.uint8)
    return grey


def _studies(order: Order, processes: int) -> Iterator[Tables]:
    numbers = range(order.first, order.first + order.studies)
    write = partial(write_study, order)
    if processes == 1:
        _one_thread()
        yield from map(write, numbers)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread) as pool:
        yield from pool.map(write, numbers, chunksize=4)


def _one_thread() -> None:
    """Let the processes share the cores, not each process all of them."""
    cv2.setNumThreads(1)


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    with whole_file(path) as stream:
        stream.write(prepared_png(picture))


def _write_dicom(path: Path, view: PhantomView) -> None:
    """Write a view under the name that the tables have for it."""
    from training.phantoms.mammogram_object import to_dataset

    with whole_file(path) as stream:
        to_dataset(view).save_as(stream, enforce_file_format=True)


def _write_table(path: Path, rows: list[Row]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["image_id"])
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())
