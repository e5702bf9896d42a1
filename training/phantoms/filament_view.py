"""One view of the filament family, a second generator: for testing only, never for training.

It shares outlines, patients and machines with the varied family, and neither texture nor lesions.
"""

from typing import Final

import cv2
import numpy as np

from training.phantoms.anatomy import COARSE, Anatomy, Plane, draw_anatomy
from training.phantoms.filament_lesions import heap_of_discs, heap_of_specks, star_of_walks
from training.phantoms.filament_tissue import draw_filament_tissue
from training.phantoms.patch import Patch, lay_on
from training.phantoms.patient import Breast, Lesion, Patient, SpeckGroup
from training.phantoms.view import COLUMNS, ROWS, PhantomView, ViewStreams, finished_view
from training.reports.report_synthesis import Attribute

_FAT: Final = 1050.0
_SKIN: Final = 230.0
_MUSCLE: Final = 560.0
_WINDOW_MM: Final = 30.0


def draw_filament_view(
    patient: Patient,
    breast: Breast,
    view_position: str,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> PhantomView:
    """Draw one view; smaller sizes are the area average of the full picture."""
    streams = ViewStreams.of(patient, breast, view_position)
    generator = streams.form
    anatomy = draw_anatomy(view_position, patient.spacing_mm * COARSE, generator)
    tissue, gland = draw_filament_tissue(anatomy, breast.gland_share, generator)
    smooth = anatomy.thickness * (_FAT + tissue * (1.0 - 0.7 * anatomy.muscle))
    smooth += _SKIN * anatomy.skin + _MUSCLE * anatomy.muscle * anatomy.thickness
    canvas: Plane = cv2.resize(smooth, (COLUMNS, ROWS), interpolation=cv2.INTER_LINEAR).astype(
        np.float32, copy=False
    )
    shown = []
    for lesion in breast.lesions:
        place = _place(lesion, view_position, anatomy)
        texture = _texture(place, lesion.size_mm, anatomy, tissue)
        patch = _patch(lesion, place, patient, anatomy, generator)
        lay_on(canvas, patch, lesion.contrast * texture if lesion.contrast else 1.0, 1)
        shown.append((lesion, patch, texture))
    for group in (*breast.benign, *_singles(generator)):
        place = _place(group, view_position, anatomy)
        patch = _specks(group, place, patient, anatomy, generator, is_suspicious=False)
        lay_on(canvas, patch, 1.0, 1)
    breast_area = anatomy.clearance > 0
    return finished_view(
        canvas,
        shown,
        patient=patient,
        breast=breast,
        view_position=view_position,
        skin_depth=anatomy.skin_depth,
        gland_share=float(gland[breast_area].mean()),
        size=(rows, columns),
        streams=streams,
    )


def _patch(
    lesion: Lesion,
    place: tuple[int, int],
    patient: Patient,
    anatomy: Anatomy,
    generator: np.random.Generator,
) -> Patch:
    terms = lesion.observation.terms
    where = {
        "size_mm": lesion.size_mm,
        "spacing_mm": patient.spacing_mm,
        "column": float(COARSE * place[0]),
        "row": float(COARSE * place[1]),
    }
    match lesion.observation.attribute:
        case Attribute.MASS:
            return heap_of_discs(terms["margin"], **where, seed=lesion.seed)
        case Attribute.ARCHITECTURAL_DISTORTION:
            return star_of_walks(**where, seed=lesion.seed)
        case _:
            group = SpeckGroup(
                morphology=terms["morphology"],
                distribution=terms["distribution"],
                size_mm=lesion.size_mm,
                depth=lesion.depth,
                outer=lesion.outer,
                upper=lesion.upper,
                seed=lesion.seed,
            )
            return _specks(group, place, patient, anatomy, generator, is_suspicious=True)


def _specks(
    group: SpeckGroup,
    place: tuple[int, int],
    patient: Patient,
    anatomy: Anatomy,
    generator: np.random.Generator,
    *,
    is_suspicious: bool,
) -> Patch:
    nipple_column, nipple_row = anatomy.nipple
    return heap_of_specks(
        group,
        is_suspicious=is_suspicious,
        spacing_mm=patient.spacing_mm,
        column=float(COARSE * place[0]),
        row=float(COARSE * place[1]),
        heading=float(np.arctan2(nipple_row - place[1], nipple_column - place[0])),
        generator=generator,
    )


def _singles(generator: np.random.Generator) -> list[SpeckGroup]:
    """Draw calcifications spread over the whole breast: a group as wide as it, of few specks."""
    if generator.random() < 0.3:
        return []
    return [
        SpeckGroup(
            morphology="round",
            distribution="diffuse",
            size_mm=float(generator.uniform(60.0, 90.0)),
            depth=0.5,
            outer=0.0,
            upper=0.0,
            seed=int(generator.integers(2**32)),
        )
    ]


def _place(lesion: Lesion | SpeckGroup, view_position: str, anatomy: Anatomy) -> tuple[int, int]:
    """Return (column, row) of the coarse grid next to where the lesion's facts say it is."""
    height = lesion.outer if view_position == "CC" else lesion.upper
    nipple_column, nipple_row = anatomy.nipple
    edge = anatomy.top if height > 0 else anatomy.bottom
    wanted_column = nipple_column * (1.0 - lesion.depth)
    wanted_row = nipple_row + 0.8 * abs(height) * (edge - nipple_row)
    least = min(lesion.size_mm / 2, 16.0) + 4.0
    rows, columns = np.nonzero(anatomy.clearance >= min(least, 0.9 * anatomy.clearance.max()))
    nearest = int(np.argmin(np.hypot(columns - wanted_column, rows - wanted_row)))
    return int(columns[nearest]), int(rows[nearest])


def _texture(place: tuple[int, int], size_mm: float, anatomy: Anatomy, tissue: Plane) -> float:
    """Return the standard deviation of the tissue around a place, as bright as it is shown."""
    column, row = place
    half = round(max(size_mm, _WINDOW_MM / 2) / anatomy.spacing_mm)
    window = (
        slice(max(row - half, 0), row + half + 1),
        slice(max(column - half, 0), column + half + 1),
    )
    values = tissue[window][anatomy.clearance[window] > 0]
    return float(values.std() * anatomy.thickness[row, column])
