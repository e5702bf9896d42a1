"""One view of a phantom breast as stored values, and the truth about its lesions."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.findings import Box
from training.phantoms.anatomy import COARSE, Anatomy, Plane, draw_anatomy
from training.phantoms.calcifications import LOOKS, draw_benign, draw_cluster
from training.phantoms.family import Family
from training.phantoms.machine import acquire
from training.phantoms.masses import draw_distortion, draw_mass
from training.phantoms.patch import Patch, full_mask, lay_on
from training.phantoms.patient import SPECKS, Breast, Lesion, Patient, SpeckGroup
from training.phantoms.tissue import draw_tissue
from training.phantoms.varied_patient import VARIED_LOOKS, VARIED_SPECKS
from training.reports.report_synthesis import Attribute

ROWS: Final = 1520
COLUMNS: Final = 912
BITS_STORED: Final = 12
VIEW_POSITIONS: Final = ("CC", "MLO")

_FAT: Final = 1000.0
_MUSCLE: Final = 620.0
_SKIN: Final = 260.0
_NOISE: Final = 14.0
_MARKER: Final = 3300.0
_BRIGHTEST: Final = 3300.0
_WINDOW_MM: Final = 30.0
"""Least side of the window in which the local texture is measured."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShownLesion:
    """A lesion on one view: the truth that a model may be held against.

    Attributes
    ----------
    mask : (rows, columns) bool
        Its body, on the grid of the picture.
    box : pixels
        Extent of the mask, half-open.
    texture : stored values
        Standard deviation of the tissue around it, without it.
    """

    lesion: Lesion
    mask: NDArray[np.bool_]
    box: Box
    texture: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhantomView:
    """One picture of a phantom.

    Attributes
    ----------
    pixels : (rows, columns) uint16, 12 bits used
        Display sense: air is dark. The chest wall is on the left for a left breast.
    spacing_mm : (row, column) mm a pixel
    gland_share : [0, 1]
    """

    patient: Patient
    breast: Breast
    view_position: str
    pixels: NDArray[np.uint16]
    spacing_mm: tuple[float, float]
    gland_share: float
    lesions: tuple[ShownLesion, ...]

    @property
    def image_id(self) -> str:
        """Return a name that tells patient, side and view."""
        return f"{self.patient.patient_id}-{self.breast.laterality}{self.view_position}"


def draw_view(
    patient: Patient,
    breast: Breast,
    view_position: str,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> PhantomView:
    """Draw one view; smaller sizes are the area average of the full picture.

    Up to half size the picture is never made in full: only its noise differs from an average.
    """
    streams = ViewStreams.of(patient, breast, view_position)
    generator = streams.form
    reduction = COARSE if rows <= ROWS // COARSE and columns <= COLUMNS // COARSE else 1
    anatomy = draw_anatomy(view_position, patient.spacing_mm * COARSE, generator)
    tissue = draw_tissue(anatomy, breast.gland_share, generator)
    smooth = anatomy.thickness * (_FAT + tissue.values * (1.0 - 0.7 * anatomy.muscle))
    smooth += _SKIN * anatomy.skin + _MUSCLE * anatomy.muscle * anatomy.thickness
    canvas = _enlarged(np.asarray(smooth, dtype=np.float32), reduction)
    shown = []
    for lesion in breast.lesions:
        patch, texture = _draw_lesion(
            lesion,
            view_position,
            patient=patient,
            anatomy=anatomy,
            tissue=tissue.values,
            generator=generator,
        )
        strength = lesion.contrast * texture if lesion.contrast else 1.0
        lay_on(canvas, patch, strength, reduction)
        shown.append((lesion, patch, texture))
    for group in breast.benign:
        column, row = _place(group, view_position, anatomy, tissue.values)
        patch = _draw_specks(group, (column, row), patient, anatomy, generator)
        lay_on(canvas, patch, 1.0, reduction)
    for patch in draw_benign(anatomy.clearance, patient.spacing_mm, generator):
        lay_on(canvas, patch, 1.0, reduction)
    return finished_view(
        canvas,
        shown,
        patient=patient,
        breast=breast,
        view_position=view_position,
        skin_depth=anatomy.skin_depth,
        gland_share=tissue.gland_share,
        size=(rows, columns),
        streams=streams,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewStreams:
    """Random numbers of one view: noise has its own, it alone depends on the picture's size."""

    form: np.random.Generator
    noise: np.random.Generator

    @classmethod
    def of(cls, patient: Patient, breast: Breast, view_position: str) -> "ViewStreams":
        """Return the streams of a patient's view."""
        key = (*patient.key, ord(breast.laterality), VIEW_POSITIONS.index(view_position))
        return cls(form=np.random.default_rng(key), noise=np.random.default_rng([*key, 1]))


def finished_view(
    canvas: Plane,
    shown: list[tuple[Lesion, Patch, float]],
    *,
    patient: Patient,
    breast: Breast,
    view_position: str,
    skin_depth: Plane,
    gland_share: float,
    size: tuple[int, int],
    streams: ViewStreams,
) -> PhantomView:
    """Take the picture of a drawn breast: noise and processing, air, marker, side and size.

    Parameters
    ----------
    canvas : stored values without noise, at full size or half of it; is written over
    shown : lesions, what they added, and the texture around them
    skin_depth : (rows, columns) of the coarse grid, 0 in air
    size : (rows, columns) of the picture
    """
    reduction = ROWS // canvas.shape[0]
    inside = _enlarged((skin_depth > 0).astype(np.float32), reduction)
    if patient.machine is None:
        noise = streams.noise.standard_normal(canvas.shape, dtype=np.float32)
        canvas += np.float32(_NOISE / reduction) * noise
    else:
        canvas = acquire(canvas, patient.machine, reduction, streams.noise)
    canvas = np.clip(canvas, 0.0, _BRIGHTEST) * np.clip(inside, 0.0, 1.0)
    if patient.has_marker:
        _add_marker(canvas, f"{breast.laterality} {view_position}", reduction, streams.form)
    is_right = breast.laterality == "R"
    rows, columns = size
    canvas = _sized(canvas, rows, columns)
    pixels = np.round(canvas[:, ::-1] if is_right else canvas).astype(np.uint16)
    return PhantomView(
        patient=patient,
        breast=breast,
        view_position=view_position,
        pixels=np.ascontiguousarray(pixels),
        spacing_mm=(patient.spacing_mm * ROWS / rows, patient.spacing_mm * COLUMNS / columns),
        gland_share=gland_share,
        lesions=tuple(
            _shown(lesion, patch, texture, size=size, is_right=is_right)
            for lesion, patch, texture in shown
        ),
    )


def _draw_lesion(
    lesion: Lesion,
    view_position: str,
    *,
    patient: Patient,
    anatomy: Anatomy,
    tissue: Plane,
    generator: np.random.Generator,
) -> tuple[Patch, float]:
    """Draw a lesion where it lies on this view, and measure the texture around it."""
    spacing, terms = patient.spacing_mm, lesion.observation.terms
    column, row = _place(lesion, view_position, anatomy, tissue)
    texture = _texture_at(column, row, lesion.size_mm, anatomy, tissue)
    full_column, full_row = float(COARSE * column), float(COARSE * row)
    match lesion.observation.attribute:
        case Attribute.MASS:
            shape, margin = terms["shape"], terms["margin"]
            patch = draw_mass(
                shape,
                margin,
                size_mm=lesion.size_mm,
                spacing_mm=spacing,
                column=full_column,
                row=full_row,
                seed=lesion.seed,
            )
        case Attribute.ARCHITECTURAL_DISTORTION:
            patch = draw_distortion(lesion.size_mm, spacing, full_column, full_row, lesion.seed)
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
            patch = _draw_specks(group, (column, row), patient, anatomy, generator)
    return patch, texture


def _draw_specks(
    group: SpeckGroup,
    place: tuple[int, int],
    patient: Patient,
    anatomy: Anatomy,
    generator: np.random.Generator,
) -> Patch:
    """Draw a group of calcifications at (column, row) of the coarse grid."""
    column, row = place
    nipple_column, nipple_row = anatomy.nipple
    is_plain = patient.family is Family.PLAIN
    return draw_cluster(
        group.morphology,
        group.distribution,
        size_mm=group.size_mm,
        spacing_mm=patient.spacing_mm,
        column=float(COARSE * column),
        row=float(COARSE * row),
        seed=group.seed,
        clearance=anatomy.clearance,
        heading=float(np.arctan2(nipple_row - row, nipple_column - column)),
        generator=generator,
        looks=LOOKS if is_plain else VARIED_LOOKS,
        specks=SPECKS if is_plain else VARIED_SPECKS[group.morphology],
    )


def _place(
    lesion: Lesion | SpeckGroup, view_position: str, anatomy: Anatomy, tissue: Plane
) -> tuple[int, int]:
    """Return (column, row) of the coarse grid: the depth is kept, the rest gives way.

    Within 10 mm a place is taken where the tissue is about as dense as around it, so that what is
    seen of a mass is the mass.
    """
    nipple_column, nipple_row = anatomy.nipple
    wanted_column = nipple_column * (1.0 - lesion.depth)
    height = lesion.outer if view_position == "CC" else 0.8 * lesion.upper + 0.3 * lesion.outer
    narrowing = np.sqrt(max(1.0 - (1.0 - lesion.depth) ** 2, 0.2))
    edge = anatomy.top if height > 0 else anatomy.bottom
    wanted_row = nipple_row + abs(height) * narrowing * (edge - nipple_row)
    radius = min(lesion.size_mm / 2, 18.0)
    allowed = anatomy.clearance > radius + 4.0
    if not allowed.any():
        allowed = anatomy.clearance >= anatomy.clearance.max() * 0.9
    rows, columns = np.nonzero(allowed)
    across = (columns - wanted_column) * anatomy.spacing_mm
    down = (rows - wanted_row) * anatomy.spacing_mm
    cost = np.hypot(2.0 * across, down)
    if lesion.contrast:
        cost = np.maximum(cost - 10.0, 0.0) + 20.0 * np.abs(
            _prominence(lesion.size_mm, anatomy, tissue)[rows, columns]
        )
    best = int(np.argmin(cost))
    return int(columns[best]), int(rows[best])


def _prominence(size_mm: float, anatomy: Anatomy, tissue: Plane) -> Plane:
    """Return how much brighter a disc's square is than its surroundings, in their deviations."""
    inner = max(3, round(0.8 * size_mm / anatomy.spacing_mm))
    outer = round(max(2.0 * size_mm, _WINDOW_MM) / anatomy.spacing_mm)
    mean = cv2.boxFilter(tissue, -1, (outer, outer))
    spread = cv2.boxFilter(tissue * tissue, -1, (outer, outer)) - mean * mean
    difference = cv2.boxFilter(tissue, -1, (inner, inner)) - mean
    return np.asarray(difference / np.sqrt(np.maximum(spread, 1.0)), dtype=np.float32)


def _texture_at(column: int, row: int, size_mm: float, anatomy: Anatomy, tissue: Plane) -> float:
    """Return the standard deviation of the tissue in a window of twice the lesion's size."""
    half = round(max(2.0 * min(size_mm, _WINDOW_MM), _WINDOW_MM) / anatomy.spacing_mm / 2)
    window = (
        slice(max(row - half, 0), row + half + 1),
        slice(max(column - half, 0), column + half + 1),
    )
    values = tissue[window][anatomy.clearance[window] > 0]
    return float(values.std() * anatomy.thickness[row, column])


def _shown(
    lesion: Lesion, patch: Patch, texture: float, *, size: tuple[int, int], is_right: bool
) -> ShownLesion:
    rows, columns = size
    mask = full_mask(patch, ROWS, COLUMNS)
    if (rows, columns) != (ROWS, COLUMNS):
        share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        mask = share >= min(0.5, float(share.max()))
    if is_right:
        mask = np.ascontiguousarray(mask[:, ::-1])
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (float(across[0]), float(down[0]), float(across[-1] + 1), float(down[-1] + 1))
    return ShownLesion(lesion=lesion, mask=mask, box=box, texture=texture)


def _add_marker(canvas: Plane, text: str, reduction: int, generator: np.random.Generator) -> None:
    """Lay a lead marker into the air, written so that it reads rightly in the finished picture."""
    scale = 1.5 / reduction
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, round(3 / reduction))
    label = np.zeros((height + 8, width + 8), np.uint8)
    cv2.putText(
        label,
        text,
        (4, height + 4),
        cv2.FONT_HERSHEY_DUPLEX,
        scale,
        255,
        max(1, round(3 / reduction)),
        cv2.LINE_AA,
    )
    if text.startswith("R"):
        label = label[:, ::-1]
    top = round(generator.uniform(20, 60) / reduction)
    left = canvas.shape[1] - label.shape[1] - round(generator.uniform(20, 50) / reduction)
    place = (slice(top, top + label.shape[0]), slice(left, left + label.shape[1]))
    canvas[place] = np.maximum(canvas[place], label * np.float32(_MARKER / 255))


def _enlarged(plane: Plane, reduction: int) -> Plane:
    if reduction == COARSE:
        return plane.copy()
    enlarged = cv2.resize(plane, (COLUMNS, ROWS), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, dtype=np.float32)


def _sized(canvas: Plane, rows: int, columns: int) -> Plane:
    if canvas.shape == (rows, columns):
        return canvas
    reduced = cv2.resize(canvas, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.float32)
