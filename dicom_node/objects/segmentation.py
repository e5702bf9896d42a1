"""The regions of one image as a binary Segmentation on the grid of that image."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence, PlaneOrientationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects import codes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.headers import coded, is_multi_frame, software_versions, stamp, stand_in
from dicom_node.objects.recognition import MANUFACTURER, MODEL_NAME
from dicom_node.objects.segment_frames import packed_frames
from dicom_node.objects.uids import ResultKind
from dicom_node.objects.wording import RESEARCH_MARK, to_ascii, tracking_id_of, view_of, words_of
from mammoclip_core.findings import Finding, ImageFindings, Region

_SOURCE_KEYWORDS: Final = (
    "Modality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PixelSpacing",
    "SliceThickness",
    "PatientOrientation",
)


def build_segmentation(
    source: Dataset,
    image: ImageFindings,
    instance_number: int,
    context: ResultContext,
) -> Dataset:
    """Write the regions of one image, one segment each, in the order of its findings.

    Raises
    ------
    ObjectRefusedError
        The image has no region, a region covers no pixel, or the source has several frames.

    References
    ----------
    PS3.3 A.51, C.8.20.2.
    """
    identity, uids = context.identity, context.uids
    owner = image.sop_instance_uid
    if is_multi_frame(source):
        raise ObjectRefusedError(f"instance {owner} has several frames: NumberOfFrames")
    regions = tuple(_regions_of(image))
    if not regions:
        raise ObjectRefusedError(f"instance {owner} has no region to write")
    size = (int(source.Rows), int(source.Columns))
    frames, overlap = packed_frames([region for _, _, region in regions], size, owner)

    segmentation = Segmentation(
        source_images=[_one_pixel_of(source)],
        pixel_array=np.ones((1, 1, 1, len(regions)), dtype=np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe(number, image, finding, index, context)
            for number, (finding, index, _) in enumerate(regions, start=1)
        ],
        series_instance_uid=uids.series_instance_uid(ResultKind.SEGMENTATION),
        series_number=identity.series_numbers[ResultKind.SEGMENTATION],
        sop_instance_uid=uids.sop_instance_uid(ResultKind.SEGMENTATION, owner),
        instance_number=instance_number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_versions(identity)[0],
        device_serial_number=identity.serial_number,
        content_label="AI_REGIONS",
        content_description=to_ascii(f"{RESEARCH_MARK}: {view_of(image)}", 64),
    )
    segmentation.Rows, segmentation.Columns = size
    segmentation.PixelData = frames
    segmentation.SegmentsOverlap = "YES" if overlap else "NO"
    stamp(segmentation, source, ResultKind.SEGMENTATION, context)
    _place_on_projection(segmentation)
    _name_dimensions(segmentation, uids.dimension_organization_uid(owner))
    segmentation.ContentCreatorName = ""
    segmentation.ContentQualification = "RESEARCH"
    return segmentation


def _one_pixel_of(source: Dataset) -> Dataset:
    """Return a stand-in of one pixel.

    highdicom 0.28 goes through the whole grid several times for each segment; the frames are
    packed by ourselves, and all that it writes of the grid is its size.
    """
    header = stand_in(source, _SOURCE_KEYWORDS)
    header.Rows = header.Columns = 1
    return header


def _regions_of(image: ImageFindings) -> Iterator[tuple[Finding, int, Region]]:
    for finding in image.findings:
        for index, region in enumerate(finding.regions):
            yield finding, index, region


def _describe(
    number: int,
    image: ImageFindings,
    finding: Finding,
    index: int,
    context: ResultContext,
) -> SegmentDescription:
    bundle = context.identity.bundle
    segment = SegmentDescription(
        segment_number=number,
        segment_label=to_ascii(f"AI attention region: {words_of(finding.name)}", 64),
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.code_of(finding),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=to_ascii(bundle.name, 64),
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=to_ascii(bundle.version, 64),
        ),
        tracking_uid=context.uids.tracking_uid(image.sop_instance_uid, finding.name, index),
        tracking_id=tracking_id_of(image, finding, index),
        anatomic_regions=[codes.BREAST],
        display_color=CIELabColor.from_rgb(*context.colors[finding.name]),
    )
    side = codes.LATERALITIES.get(image.laterality)
    if side is not None:
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [coded(side)]
    return segment


def _place_on_projection(segmentation: Dataset) -> None:
    """Say that rows run along rows, as OHIF 3.13 must read it, and no spacing that is half known.

    highdicom 0.28 writes Pixel Measures without Slice Thickness where the source has only a
    Pixel Spacing, and its own reader fails on it.
    """
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    if "PlaneOrientationSequence" not in shared:
        shared.PlaneOrientationSequence = PlaneOrientationSequence(
            coordinate_system="PATIENT", image_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        )
    measures = shared.get("PixelMeasuresSequence")
    if measures and not ("SliceThickness" in measures[0] and "PixelSpacing" in measures[0]):
        del shared.PixelMeasuresSequence


def _name_dimensions(segmentation: Dataset, uid: str) -> None:
    for item in segmentation.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid
