"""Outlines and labels over one image, in the image's own greys: a Softcopy Presentation State."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import GRAYSCALE_PRESENTATION_STATE, ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.palette import dimmed
from dicom_node.objects.findings.lesions import numbered_regions
from dicom_node.objects.findings.outlines import closed_polyline
from dicom_node.objects.frames import header_of_frame, name_of
from dicom_node.objects.modules.shared_modules import is_multi_frame, stamp
from dicom_node.objects.pr.grayscale_modules import set_greys
from dicom_node.objects.products import Product
from dicom_node.objects.terms.scores import region_score_text, score_text
from dicom_node.objects.terms.wording import (
    RESEARCH_MARK,
    to_ascii,
    tracking_id_of,
    view_of,
    words_of,
)
from mammoclip_core.findings import Finding, ImageFindings, Region
from mammoclip_core.images.header.pixel_spacing import pixel_aspect_of

_LABEL_SIZE: Final = (0.025, 0.35)
"""Height and width of a label's box, as parts of the image's."""

_FOOT: Final = (0.02, 0.94, 0.98, 0.99)
"""Where the words on the whole image stand: left, top, right, bottom as parts of the display."""


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one presentation state of each image that has a region."""
    for number, image in enumerate(study.analysis.findings.analysed, start=1):
        if any(finding.regions for finding in image.findings):
            yield PlannedObject(
                product=Product(kind=ResultKind.PRESENTATION_STATE),
                build=partial(
                    build_presentation_state, study.header(image), image, number, study.context
                ),
                source_sop_instance_uid=image.sop_instance_uid,
            )


def build_presentation_state(
    source: Dataset, image: ImageFindings, instance_number: int, context: ResultContext
) -> Dataset:
    """Write what was found on one image as graphics, one layer for each finding.

    The image is neither turned nor flipped, and looks as it does without this object.

    Raises
    ------
    ObjectRefusedError
        An outline lies outside the image.

    References
    ----------
    PS3.3 A.33.1, C.10.4, C.10.5, C.11.10, C.11.11.
    """
    state = Dataset()
    # Presentation Series (PS3.3 C.11.9)
    state.Modality = "PR"
    state.BodyPartExamined = "BREAST"
    state.Laterality = image.laterality if image.laterality in {"L", "R"} else ""
    # Presentation State Identification (PS3.3 C.11.10)
    state.InstanceNumber = instance_number
    state.ContentLabel = "AI_OUTLINES"
    state.ContentDescription = to_ascii(f"{RESEARCH_MARK}: {view_of(image)}", 64)
    state.ContentCreatorName = ""
    # Presentation State Relationship (PS3.3 C.11.11)
    series = Dataset()
    series.SeriesInstanceUID = source.SeriesInstanceUID
    series.ReferencedImageSequence = [_reference(source, image)]
    state.ReferencedSeriesSequence = [series]
    state.DisplayedAreaSelectionSequence = [_displayed_area(source, image)]
    set_greys(state, header_of_frame(source, image.frame), _reference(source, image))
    state.GraphicAnnotationSequence = list(_annotations(source, image, context))
    state.GraphicLayerSequence = list(_layers(image, context))
    # SOP Common (PS3.3 C.12.1)
    state.SOPClassUID = GRAYSCALE_PRESENTATION_STATE
    state.SOPInstanceUID = context.uids.sop_instance_uid(
        ResultKind.PRESENTATION_STATE, name_of(image)
    )
    stamp(state, source, ResultKind.PRESENTATION_STATE, context)
    state.PresentationCreationDate = state.ContentDate
    state.PresentationCreationTime = state.ContentTime
    del state.ContentDate, state.ContentTime
    return state


def _reference(source: Dataset, image: ImageFindings) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if is_multi_frame(source):
        item.ReferencedFrameNumber = image.frame
    return item


def _displayed_area(source: Dataset, image: ImageFindings) -> Dataset:
    area = Dataset()
    area.ReferencedImageSequence = [_reference(source, image)]
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [int(source.Columns), int(source.Rows)]
    area.PresentationSizeMode = "SCALE TO FIT"
    area.PresentationPixelAspectRatio = list(pixel_aspect_of(source).as_integer_ratio())
    return area


def _layers(image: ImageFindings, context: ResultContext) -> Iterator[Dataset]:
    for number, drawn in enumerate(_drawn(image), start=1):
        own = context.colors[drawn.finding.name]
        color = CIELabColor.from_rgb(*(dimmed(own) if drawn.is_below else own))
        standing = ", below threshold" if drawn.is_below else ""
        layer = Dataset()
        layer.GraphicLayer = _layer_of(number)
        layer.GraphicLayerOrder = number
        layer.GraphicLayerRecommendedDisplayCIELabValue = list(color.value)
        layer.GraphicLayerDescription = to_ascii(
            f"AI: {words_of(drawn.finding.name)}{standing}", 64
        )
        yield layer


def _annotations(
    source: Dataset, image: ImageFindings, context: ResultContext
) -> Iterator[Dataset]:
    size = (int(source.Rows), int(source.Columns))
    for layer, drawn in enumerate(_drawn(image), start=1):
        annotation = Dataset()
        annotation.ReferencedImageSequence = [_reference(source, image)]
        annotation.GraphicLayer = _layer_of(layer)
        name = words_of(drawn.finding.name)
        outlines = [
            closed_polyline(one.region, size, image.sop_instance_uid) for one in drawn.regions
        ]
        texts = [
            _label(
                f"{one.number} AI {name}, {region_score_text(drawn.finding, one.region)}",
                outline,
                size,
            )
            for one, outline in zip(drawn.regions, outlines, strict=True)
        ]
        if not outlines:
            words = f"{name}, {score_text(drawn.finding)}"
            texts.append(_foot(f"AI, whole image: {words}. {RESEARCH_MARK}"))
        elif layer == 1:
            scores = context.scores.banner(image.laterality)
            texts.append(_foot(". ".join((RESEARCH_MARK, *scores))))
        annotation.TextObjectSequence = texts
        if outlines:
            annotation.GraphicObjectSequence = [
                _tracked(_polyline(outline), image, drawn.finding, one.index, context)
                for one, outline in zip(drawn.regions, outlines, strict=True)
            ]
        yield annotation


def _tracked(
    graphic: Dataset, image: ImageFindings, finding: Finding, index: int, context: ResultContext
) -> Dataset:
    """Say of an outline which region it is, as the reports do (PS3.3 C.10.5)."""
    graphic.TrackingID = tracking_id_of(image, finding, index)
    graphic.TrackingUID = context.uids.tracking_uid(name_of(image), finding, index)
    return graphic


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outlined:
    """A region with its number, as in the pictures, and its index among the finding's regions."""

    number: int
    index: int
    region: Region


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """What one layer shows: regions of one finding, all on the same side of the threshold."""

    finding: Finding
    regions: Sequence[_Outlined] = ()
    is_below: bool = False


def _drawn(image: ImageFindings) -> Iterator[_Drawn]:
    """Give the regions below a threshold a layer of their own, which a viewer may switch off."""
    numbered = numbered_regions(image)
    for finding in image.findings:
        own = [
            _Outlined(number=number, index=index, region=finding.regions[index])
            for number, owner, index in numbered
            if owner is finding
        ]
        above = [one for one in own if one.region.above_threshold]
        below = [one for one in own if not one.region.above_threshold]
        if above or (finding.above_threshold and not below):
            yield _Drawn(finding=finding, regions=above)
        if below:
            yield _Drawn(finding=finding, regions=below, is_below=True)


def _layer_of(number: int) -> str:
    return f"AI_{number}"


def _polyline(outline: NDArray[np.float64]) -> Dataset:
    graphic = Dataset()
    graphic.GraphicAnnotationUnits = "PIXEL"
    graphic.GraphicDimensions = 2
    graphic.NumberOfGraphicPoints = len(outline)
    graphic.GraphicData = [float(coordinate) for coordinate in outline.ravel()]
    graphic.GraphicType = "POLYLINE"
    graphic.GraphicFilled = "N"
    return graphic


def _label(words: str, outline: NDArray[np.float64], size: tuple[int, int]) -> Dataset:
    """Write beside the upper right corner of an outline, within the image."""
    rows, columns = size
    height, width = _LABEL_SIZE[0] * rows, _LABEL_SIZE[1] * columns
    left = min(float(outline[:, 0].max()), columns - width)
    top = min(float(outline[:, 1].min()), rows - height)
    return _text(words, "PIXEL", (left, top, left + width, top + height))


def _foot(words: str) -> Dataset:
    return _text(words, "DISPLAY", _FOOT)


def _text(words: str, units: str, box: tuple[float, float, float, float]) -> Dataset:
    left, top, right, bottom = box
    text = Dataset()
    text.UnformattedTextValue = to_ascii(words, 1000)
    text.BoundingBoxAnnotationUnits = units
    text.BoundingBoxTopLeftHandCorner = [left, top]
    text.BoundingBoxBottomRightHandCorner = [right, bottom]
    text.BoundingBoxTextHorizontalJustification = "LEFT"
    return text
