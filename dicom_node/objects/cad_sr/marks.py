"""Which marks a workstation is given: what each is called, where it lies, whether it is drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.objects.cad_sr import codes as cad_codes
from dicom_node.objects.cad_sr.options import PlainMark
from dicom_node.objects.findings.outlines import closed_polyline
from dicom_node.objects.terms import codes
from mammoclip_core.findings import (
    Finding,
    ImageFindings,
    LocalisationMethod,
    Region,
    StudyFindings,
)

_MASS: Final = "4147007"

OPERATING_POINTS: Final = 100
"""At operating point n a workstation draws, besides all required marks, scores from 1 - n/100."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mark:
    """One single image finding.

    Attributes
    ----------
    index : 0 or more
        Of the region among the finding's regions.
    center : point in source pixels
    outline : (n, 2) closed polyline in source pixels
    intent : rendering intent
    operating_point : 1 to OPERATING_POINTS for an optional mark, else None
    """

    image: ImageFindings
    finding: Finding
    index: int
    concept: Code
    center: tuple[float, float]
    outline: NDArray[np.float64]
    intent: Code
    operating_point: int | None = None

    @property
    def region(self) -> Region:
        """Return the region that is marked."""
        return self.finding.regions[self.index]


def marks_of(
    findings: StudyFindings, sources: Mapping[str, Dataset], plain_mark: PlainMark
) -> tuple[Mark, ...]:
    """Return a mark for each region; one below the threshold is optional.

    A finding without a place has no mark, since each must have a centre (TID 4021).

    Raises
    ------
    ObjectRefusedError
        An outline lies outside its image.
    """
    return tuple(_marks(findings, sources, plain_mark))


def concept_of(finding: Finding, plain_mark: PlainMark) -> Code:
    """Return the mark that a finding goes by (CID 6014)."""
    value = codes.code_of(finding).value
    if value in cad_codes.MARKS:
        return cad_codes.MARKS[value]
    if plain_mark is PlainMark.SELECTED_REGION:
        return cad_codes.SELECTED_REGION
    return cad_codes.BREAST_DENSITY_MARK


def composite_concept_of(marks: Sequence[Mark]) -> Code:
    """Return what marks on several images are together (CID 6016)."""
    if all(codes.code_of(mark.finding).value == _MASS for mark in marks):
        return cad_codes.BREAST_MASS
    concepts = {mark.concept for mark in marks}
    return concepts.pop() if len(concepts) == 1 else cad_codes.BREAST_DENSITY_MARK


def by_lesion(marks: Sequence[Mark]) -> list[list[Mark]]:
    """Gather the marks of each lesion; what has no number stands alone."""
    lesions: dict[tuple[int, int], list[Mark]] = {}
    for place, mark in enumerate(marks):
        number = mark.region.lesion
        lesions.setdefault((number, 0) if number else (0, place), []).append(mark)
    return list(lesions.values())


def is_detection(finding: Finding) -> bool:
    """Tell whether the model looked for places of a finding, whether or not it found any."""
    return bool(finding.regions) or finding.method is not LocalisationMethod.NONE


def _marks(
    findings: StudyFindings, sources: Mapping[str, Dataset], plain_mark: PlainMark
) -> Iterator[Mark]:
    for image in findings.analysed:
        source = sources[image.sop_instance_uid]
        size = (int(source.Rows), int(source.Columns))
        for finding in image.findings:
            for index, region in enumerate(finding.regions):
                outline = closed_polyline(region, size, image.sop_instance_uid)
                yield _placed(image, finding, index, outline, plain_mark)


def _placed(
    image: ImageFindings,
    finding: Finding,
    index: int,
    outline: NDArray[np.float64],
    plain_mark: PlainMark,
) -> Mark:
    region = finding.regions[index]
    required = region.above_threshold
    return Mark(
        image=image,
        finding=finding,
        index=index,
        concept=concept_of(finding, plain_mark),
        center=_center_of(outline),
        outline=outline,
        intent=cad_codes.PRESENTATION_REQUIRED if required else codes.PRESENTATION_OPTIONAL,
        operating_point=None if required else _operating_point(region.score),
    )


def _operating_point(score: float) -> int:
    return min(max(round(OPERATING_POINTS * (1.0 - score)), 1), OPERATING_POINTS)


def _center_of(outline: NDArray[np.float64]) -> tuple[float, float]:
    """Return the centroid of the area within a closed polyline."""
    origin = outline[0]
    (x, y), (next_x, next_y) = (outline[:-1] - origin).T, (outline[1:] - origin).T
    cross = x * next_y - next_x * y
    area = cross.sum() / 2.0
    if abs(area) < np.finfo(np.float32).eps:
        column, row = outline[:-1].mean(axis=0)
    else:
        column, row = origin + np.array(
            [((x + next_x) * cross).sum(), ((y + next_y) * cross).sum()]
        ) / (6.0 * area)
    # An outline that crosses itself has areas that cancel out: its centroid may lie anywhere.
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    return min(max(float(column), left), right), min(max(float(row), top), bottom)
