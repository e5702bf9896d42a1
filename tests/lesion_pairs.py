"""Phantom pairs of CC and MLO with known lesions, as a detector would report them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from mammoclip_core.analysis.lesions import with_lesions
from mammoclip_core.findings import (
    Box,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    ScoreOf,
)
from mammoclip_core.images.breast_geometry import BreastGeometry, breast_geometry_of
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.stored_image import StoredImage
from training.phantoms.mammogram_object import to_dataset
from training.phantoms.patient import Breast, Lesion, draw_patient
from training.phantoms.view import VIEW_POSITIONS, PhantomView, draw_view

Change: TypeAlias = Callable[[NDArray[np.uint16]], NDArray[np.uint16]]

SEED: Final = 1
SIZE: Final = (380, 228)
_OTHERS: Final = 100_000
"""First patient of those whose lesions are put beside each other in one breast."""

_LESIONS: Final = ((1, 0.6), (2, 0.3), (3, 0.1))
"""How many lesions a breast has, and how often."""

_SEEN: Final = (("CC MLO", 0.7), ("CC", 0.1), ("MLO", 0.1), ("", 0.1))
"""On which views a detector finds a lesion, and how often."""

_FALSE_REGIONS: Final = 0.15
"""How often a view has a region where no lesion is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """CC and MLO of one breast.

    Attributes
    ----------
    images : with their regions
    truth : which lesion a region shows, by SOP Instance UID and box; none for a false one
    geometries : by SOP Instance UID
    seen_in_both : number of lesions
    """

    images: tuple[ImageFindings, ...]
    truth: Mapping[tuple[str, Box], int]
    geometries: dict[str, BreastGeometry | None]
    seen_in_both: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What became of all pairs."""

    seen_in_both: int
    true: int
    false: int

    @property
    def recall(self) -> float:
        """Return the share of the lesions seen in both views that are linked."""
        return self.true / self.seen_in_both

    @property
    def share_false(self) -> float:
        """Return the share of the links that join what is not the same lesion."""
        return self.false / (self.true + self.false)


def links_of(pairs: int, folder: Path) -> Links:
    """Link the lesions of so many phantom pairs, and hold the links against the truth."""
    seen = true = false = 0
    for number in range(pairs):
        pair = draw_pair(number, folder)
        seen += pair.seen_in_both
        for is_true in links_in(pair):
            true, false = true + is_true, false + (not is_true)
    return Links(seen_in_both=seen, true=true, false=false)


def draw_pair(
    number: int, folder: Path, *, change: Change | None = None, **attributes: Any
) -> Pair:
    """Draw a pair as files, and read their geometry from them.

    Parameters
    ----------
    change : what is done to the pixels of both images, whose headers stay
    attributes : of both headers, in place of their own; None removes one
    """
    generator = np.random.default_rng([SEED, number])
    patient = draw_patient(SEED, number)
    breast = _with_lesions(patient.breasts[number % 2], generator)
    seen = [
        generator.choice([views for views, _ in _SEEN], p=[often for _, often in _SEEN])
        for _ in breast.lesions
    ]
    images: list[ImageFindings] = []
    truth: dict[tuple[str, Box], int] = {}
    geometries: dict[str, BreastGeometry | None] = {}
    for view_position in VIEW_POSITIONS:
        view = draw_view(patient, breast, view_position, *SIZE)
        stored = _stored(view, folder / f"{view_position}.dcm", attributes, change)
        uid = stored.sop_instance_uid
        if stored.is_whole_breast:
            geometries[uid] = breast_geometry_of(stored)
        boxes: dict[str, list[Box]] = {}
        for place, shown in enumerate(view.lesions):
            if view_position in seen[place].split():
                box = _jittered(shown.box, view, generator)
                boxes.setdefault(_kind_of(shown.lesion), []).append(box)
                truth[uid, box] = place
        if generator.random() < _FALSE_REGIONS:
            kind = _kind_of(_others()[generator.integers(len(_others()))])
            boxes.setdefault(kind, []).append(_box_anywhere(view, generator))
        images.append(_image(uid, view, boxes))
    return Pair(
        images=tuple(images),
        truth=truth,
        geometries=geometries,
        seen_in_both=sum(views == "CC MLO" for views in seen),
    )


def links_in(pair: Pair) -> list[bool]:
    """Return of each link of a pair whether it joins two regions of one lesion."""
    first, second = (
        {
            region.lesion: pair.truth.get((image.sop_instance_uid, region.box), -1 - place)
            for finding in image.findings
            for region in finding.regions
        }
        for place, image in enumerate(with_lesions(pair.images, pair.geometries))
    )
    return [first[lesion] == second[lesion] for lesion in first if lesion in second]


@cache
def _others() -> list[Lesion]:
    """Return lesions of many patients, in the generator's mixture of kinds."""
    patients = (draw_patient(SEED, number) for number in range(_OTHERS, _OTHERS + 1000))
    return [lesion for one in patients for breast in one.breasts for lesion in breast.lesions]


def _with_lesions(breast: Breast, generator: np.random.Generator) -> Breast:
    counts, often = zip(*_LESIONS, strict=True)
    count = generator.choice(counts, p=often)
    places = generator.choice(len(_others()), count, replace=False)
    return replace(breast, lesions=tuple(_others()[place] for place in places))


def _stored(
    view: PhantomView, path: Path, attributes: Mapping[str, Any], change: Change | None
) -> StoredImage:
    dataset = to_dataset(view)
    if change is not None:
        pixels = np.ascontiguousarray(change(dataset.pixel_array))
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return read_pixels(path)


def _kind_of(lesion: Lesion) -> str:
    return lesion.observation.attribute.value


def _jittered(box: Box, view: PhantomView, generator: np.random.Generator) -> Box:
    """Move a true box by a tenth of its size and 1.5 mm, and change its size by a quarter."""
    left, top, right, bottom = box
    size = np.array([right - left, bottom - top])
    middle = np.array([left + right, top + bottom]) / 2
    middle += generator.normal(0.0, 0.1, 2) * size
    middle += generator.normal(0.0, 1.5, 2) / np.array(view.spacing_mm[::-1])
    return _box_around(middle, size * generator.uniform(0.8, 1.25))


def _box_anywhere(view: PhantomView, generator: np.random.Generator) -> Box:
    rows, columns = np.nonzero(view.pixels > view.pixels.max() // 4)
    place = generator.integers(len(rows))
    size = generator.uniform(6.0, 30.0) / np.array(view.spacing_mm[::-1])
    return _box_around(np.array([columns[place], rows[place]]), size)


def _box_around(middle: NDArray[np.float64], size: NDArray[np.float64]) -> Box:
    (left, top), (right, bottom) = middle - size / 2, middle + size / 2
    return float(left), float(top), float(right), float(bottom)


def _image(uid: str, view: PhantomView, boxes: Mapping[str, list[Box]]) -> ImageFindings:
    return ImageFindings(
        sop_instance_uid=uid,
        laterality=view.breast.laterality,
        view_position=view.view_position,
        status=ImageStatus.ANALYSED,
        findings=tuple(
            Finding(
                name=kind,
                code="",
                score=0.9,
                calibrated=False,
                above_threshold=True,
                source=FindingSource.DETECTOR,
                method=LocalisationMethod.BOX,
                regions=tuple(map(_region, own)),
            )
            for kind, own in boxes.items()
        ),
    )


def _region(box: Box) -> Region:
    left, top, right, bottom = box
    return Region(
        outline=((left, top), (right, top), (right, bottom), (left, bottom)),
        box=box,
        area_pixels=round((right - left) * (bottom - top)),
        peak=((left + right) / 2, (top + bottom) / 2),
        activation=0.9,
        score_of=ScoreOf.REGION,
        score=0.9,
        above_threshold=True,
    )
