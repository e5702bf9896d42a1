"""Phantoms drawn, cropped and scaled as a node does it, into one array that training maps."""

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.preprocessing import (
    PUBLISHED_MEAN,
    PUBLISHED_STD,
    PreparedImage,
    prepare,
)
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing
from training.data.image_source import ARRAY_NAME, NAMES_NAME
from training.examples.demonstration.phantom_records import image_name
from training.phantoms.families import draw_patient, draw_view
from training.phantoms.family import Family
from training.phantoms.view import VIEW_POSITIONS, PhantomView

TRUTH_NAME: Final = "truth.json"
_AHEAD: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueLesion:
    """A lesion of one prepared image.

    Attributes
    ----------
    attribute : name of VinDr-Mammo
    size_mm : longest extent
    box : pixels of the model's input, half-open
    """

    attribute: str
    size_mm: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueImage:
    """What is true of one prepared image."""

    name: str
    patient_id: str
    laterality: str
    view_position: str
    density: str
    lesions: tuple[TrueLesion, ...]


def prepare_phantoms(
    seed: int,
    studies: int,
    size: tuple[int, int],
    out: Path,
    *,
    family: Family = Family.PLAIN,
    processes: int = 1,
    on_study: Callable[[], None] = lambda: None,
) -> None:
    """Draw the first patients of a seed into a folder; takes up what a killed run left.

    Parameters
    ----------
    size : (rows, columns) of the model's input
    """
    out.mkdir(parents=True, exist_ok=True)
    views = 4 * studies
    marks = out / "drawn.json"
    path = out / ARRAY_NAME
    done: list[dict[str, Any]] = []
    if marks.is_file() and path.is_file():
        done = json.loads(marks.read_text(encoding="utf-8"))
        images = np.lib.format.open_memmap(path, mode="r+")
        if images.shape != (views, *size):
            raise ValueError(f"{out} holds {images.shape}, not {(views, *size)}: name another")
    else:
        images = np.lib.format.open_memmap(path, "w+", np.uint8, (views, *size))
    draw = partial(_prepared_study, seed, size, family)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for start in range(len(done) // 4, studies, _AHEAD):
            numbers = range(start, min(start + _AHEAD, studies))
            for number, study in zip(numbers, pool.map(draw, numbers), strict=True):
                for place, (image, truth) in enumerate(study):
                    images[4 * number + place] = image
                    done.append(asdict(truth))
                on_study()
            images.flush()
            _write(marks, done)
    _write(out / TRUTH_NAME, done)
    _write(out / NAMES_NAME, [item["name"] for item in done])


def read_truth(folder: Path) -> list[TrueImage]:
    """Read what is true of the images of a folder, in their order."""
    return [
        TrueImage(
            **{
                **item,
                "lesions": tuple(
                    TrueLesion(**{**lesion, "box": tuple(lesion["box"])})
                    for lesion in item["lesions"]
                ),
            }
        )
        for item in json.loads((folder / TRUTH_NAME).read_text(encoding="utf-8"))
    ]


def _prepared_study(
    seed: int, size: tuple[int, int], family: Family, number: int
) -> list[tuple[NDArray[np.uint8], TrueImage]]:
    cv2.setNumThreads(1)
    patient = draw_patient(seed, number, family)
    study = []
    for breast in patient.breasts:
        for view_position in VIEW_POSITIONS:
            view = draw_view(patient, breast, view_position)
            name = image_name(patient, breast.laterality, view_position)
            prepared = _prepared(view, name, size)
            truth = TrueImage(
                name=name,
                patient_id=patient.patient_id,
                laterality=breast.laterality,
                view_position=view_position,
                density=patient.density,
                lesions=tuple(
                    TrueLesion(
                        attribute=shown.lesion.observation.attribute.value,
                        size_mm=shown.lesion.size_mm,
                        box=_on_input(shown.box, prepared),
                    )
                    for shown in view.lesions
                ),
            )
            study.append((np.asarray(prepared.grey, dtype=np.uint8), truth))
    return study


def _prepared(view: PhantomView, name: str, size: tuple[int, int]) -> PreparedImage:
    image = StoredImage(
        values=view.pixels, photometric_interpretation="MONOCHROME2", sop_instance_uid=name
    )
    preprocessing = Preprocessing(
        mode="published", rows=size[0], columns=size[1], mean=PUBLISHED_MEAN, std=PUBLISHED_STD
    )
    return prepare(image, preprocessing)


def _on_input(
    box: tuple[float, float, float, float], prepared: PreparedImage
) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, bottom]], dtype=np.float64)
    (left, top), (right, bottom) = prepared.geometry.to_input(corners)
    return float(left), float(top), float(right), float(bottom)


def _write(path: Path, content: Any) -> None:
    making = path.with_suffix(".part")
    making.write_text(json.dumps(content), encoding="utf-8")
    making.replace(path)
