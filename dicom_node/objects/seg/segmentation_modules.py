"""What every Segmentation of ours is made of, around the pixels of its frames."""

import copy
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from dicom_node.facts.own_result import MANUFACTURER, MODEL_NAME
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects import codes
from dicom_node.objects.codes import coded
from dicom_node.objects.context import ResultContext
from dicom_node.objects.contributing_equipment import software_versions
from dicom_node.objects.seg.frame_places import place_frames
from dicom_node.objects.shared_modules import is_multi_frame, stamp, stand_in
from dicom_node.objects.wording import RESEARCH_MARK, method_of, short_view_of, to_ascii
from mammoclip_core.findings import Finding, ImageFindings

_SINGLE_FRAME: Final = DigitalMammographyXRayImageStorageForPresentation

LABEL_LENGTH: Final = 64
"""Characters of a segment's label."""

_VIEW_AND_CONTENT: Final = 64 - len(" , rev 9999")
"""Characters of a description that a view and what the series holds share."""

_SOURCE_KEYWORDS: Final = (
    "Modality",
    "PatientOrientation",
)


def segmentation_of(
    source: Dataset,
    segments: Sequence[SegmentDescription],
    source_frames: Sequence[int],
    *,
    segmentation_type: SegmentationTypeValues,
    kind: ResultKind,
    context: ResultContext,
    image_number: int,
    content_label: str,
    image: ImageFindings,
) -> Dataset:
    """Return a Segmentation that wants only its pixels, one frame a segment.

    highdicom 0.28 goes through the whole grid several times for each segment, which takes seconds
    for a study: it is given one pixel of each, and all that it writes of the grid is its size.

    It is alone in its series: OHIF 3.13 lists one segmentation of a series.

    Parameters
    ----------
    source_frames : the frame of the source that each segment lies on
    image_number : 1 to 999
        The place of the source among the images of the study; it ends the number of the series.
    content_label : CS, at most 16 characters
    image : one of the source, whose view begins the description of the series
    """
    view = short_view_of(image)
    identity, uids = context.identity, context.uids
    owner = str(source.SOPInstanceUID)
    pixel: Any = np.ones((1, 1, 1, len(segments)), dtype=np.uint8)
    if segmentation_type is SegmentationTypeValues.FRACTIONAL:
        pixel = pixel.astype(np.float32)
    segmentation = Segmentation(
        source_images=[_one_pixel_of(source)],
        pixel_array=pixel,
        segmentation_type=segmentation_type,
        segment_descriptions=segments,
        series_instance_uid=uids.series_instance_uid(kind, owner),
        series_number=identity.series_numbers[kind],
        sop_instance_uid=uids.sop_instance_uid(kind, owner),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_versions(identity)[0],
        device_serial_number=identity.device_serial_number,
        content_label=content_label,
        content_description=to_ascii(f"{RESEARCH_MARK}: {view}", 64),
    )
    segmentation.Rows, segmentation.Columns = int(source.Rows), int(source.Columns)
    stamp(segmentation, source, kind, context, owner)
    segmentation.SeriesNumber = identity.series_number(kind, image_number)
    segmentation.SeriesDescription = _description(image, segmentation.SeriesDescription)
    _name_source(segmentation, source)
    if is_multi_frame(source):
        _name_frames(segmentation, source_frames)
    place_frames(segmentation, source, source_frames)
    _name_dimensions(segmentation, uids.dimension_organization_uid(f"{owner}{_apart(kind)}"))
    scores = context.scores.comment(image.laterality)
    if scores:
        segmentation.ImageComments = scores
    segmentation.ContentCreatorName = ""
    segmentation.ContentQualification = "RESEARCH"
    return segmentation


def _description(image: ImageFindings, content: str) -> str:
    """Name view and content of a series; of a long view a part, of the research mark nothing."""
    return f"{short_view_of(image, _VIEW_AND_CONTENT - len(content))} {content}"


def segment_of(
    number: int,
    label: str,
    image: ImageFindings,
    finding: Finding,
    context: ResultContext,
    *,
    tracking_uid: str,
    tracking_id: str,
) -> SegmentDescription:
    """Describe one segment of one finding (PS3.3 C.8.20.4)."""
    bundle = context.identity.bundle
    segment = SegmentDescription(
        segment_number=number,
        segment_label=to_ascii(label, LABEL_LENGTH),
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.code_of(finding),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=to_ascii(bundle.name, 64),
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=to_ascii(bundle.version, 64),
        ),
        tracking_uid=tracking_uid,
        tracking_id=tracking_id,
        anatomic_regions=[codes.BREAST],
        display_color=CIELabColor.from_rgb(*context.colors[finding.name]),
    )
    segment.SegmentDescription = f"Region by {method_of(finding)}"
    method = codes.METHODS.get(finding.method)
    if method is not None:
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        algorithm.AlgorithmNameCodeSequence = [coded(method)]
    side = codes.LATERALITIES.get(image.laterality)
    if side is not None:
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [coded(side)]
    return segment


def _one_pixel_of(source: Dataset) -> Dataset:
    """Return a single-frame stand-in: highdicom would want a mask for every frame of a source."""
    header = stand_in(source, _SOURCE_KEYWORDS)
    header.SOPClassUID = _SINGLE_FRAME
    header.Rows = header.Columns = 1
    return header


def _name_source(segmentation: Dataset, source: Dataset) -> None:
    """Write the SOP Class of the source wherever the stand-in's was written."""
    references = [
        instance
        for series in segmentation.ReferencedSeriesSequence
        for instance in series.ReferencedInstanceSequence
    ]
    references += [
        instance
        for frame in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in frame.DerivationImageSequence
        for instance in derivation.SourceImageSequence
    ]
    for instance in references:
        instance.ReferencedSOPClassUID = source.SOPClassUID


def _apart(kind: ResultKind) -> str:
    return "" if kind is ResultKind.SEGMENTATION else f" {kind}"


def _name_frames(segmentation: Dataset, source_frames: Sequence[int]) -> None:
    """Name the frame of a multi-frame source that each frame is of (PS3.3 C.7.6.16.2.6)."""
    for item, frame in zip(
        segmentation.PerFrameFunctionalGroupsSequence, source_frames, strict=True
    ):
        # highdicom 0.28 gives one and the same item to segments of the same source.
        item.DerivationImageSequence = copy.deepcopy(item.DerivationImageSequence)
        for derivation in item.DerivationImageSequence:
            for reference in derivation.SourceImageSequence:
                reference.ReferencedFrameNumber = frame


def _name_dimensions(segmentation: Dataset, uid: str) -> None:
    for item in segmentation.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid
