"""What every Segmentation of ours is made of, around the pixels of its frames."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from highdicom.color import CIELabColor
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import SEGMENTATION_STORAGE, ResultKind
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.elements.small_datasets import dataset_of
from dicom_node.objects.modules.shared_modules import is_multi_frame, stamp
from dicom_node.objects.seg.frame_places import place_frames
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.codes import coded
from dicom_node.objects.terms.wording import RESEARCH_MARK, method_of, short_view_of, to_ascii
from mammoclip_core.findings import Finding, ImageFindings

FULL: Final = 255
"""Value of a pixel in a frame of bytes that belongs to its segment wholly."""


LABEL_LENGTH: Final = 64
"""Characters of a segment's label."""

_VIEW_AND_CONTENT: Final = 64 - len(" , rev 9999")
"""Characters of a description that a view and what the series holds share."""


class SegmentationType(StrEnum):
    """How the pixels of a segmentation are written (PS3.3 C.8.20.2.3)."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"


def segmentation_of(
    source: Dataset,
    segments: Sequence[Dataset],
    source_frames: Sequence[int],
    *,
    segmentation_type: SegmentationType,
    kind: ResultKind,
    context: ResultContext,
    image_number: int,
    content_label: str,
    image: ImageFindings,
) -> Dataset:
    """Return a Segmentation that wants only its pixels, one frame a segment.

    It is alone in its series: OHIF 3.13 lists one segmentation of a series.

    Parameters
    ----------
    source_frames : the frame of the source that each segment lies on
    image_number : 1 to 999
        The place of the source among the images of the study; it ends the number of the series.
    content_label : CS, at most 16 characters
    image : one of the source, whose view begins the description of the series

    References
    ----------
    PS3.3 A.51.
    """
    view = short_view_of(image)
    identity, uids = context.identity, context.uids
    owner = str(source.SOPInstanceUID)
    segmentation = Dataset()
    # General Series (PS3.3 C.7.3.1)
    segmentation.Modality = "SEG"
    # General Image (PS3.3 C.7.6.1), General Reference (PS3.3 C.12.4)
    segmentation.InstanceNumber = 1
    segmentation.SourceImageSequence = [_reference(source)]
    scores = context.scores.comment(image.laterality)
    if scores:
        segmentation.ImageComments = scores
    # Image Pixel (PS3.3 C.7.6.3)
    segmentation.Rows, segmentation.Columns = int(source.Rows), int(source.Columns)
    # Segmentation Image (PS3.3 C.8.20.2)
    segmentation.ImageType = ["DERIVED", "PRIMARY"]
    segmentation.SamplesPerPixel, segmentation.PhotometricInterpretation = 1, "MONOCHROME2"
    segmentation.PixelRepresentation = 0
    bits = 1 if segmentation_type is SegmentationType.BINARY else 8
    segmentation.BitsAllocated = segmentation.BitsStored = bits
    segmentation.HighBit = bits - 1
    segmentation.LossyImageCompression = "00"
    segmentation.SegmentationType = segmentation_type.value
    if segmentation_type is SegmentationType.FRACTIONAL:
        segmentation.SegmentationFractionalType = "PROBABILITY"
        segmentation.MaximumFractionalValue = FULL
    segmentation.SegmentSequence = list(segments)
    segmentation.ContentQualification = "RESEARCH"
    # Content Identification (PS3.3 10.9)
    segmentation.ContentLabel = content_label
    segmentation.ContentDescription = to_ascii(f"{RESEARCH_MARK}: {view}", 64)
    segmentation.ContentCreatorName = ""
    # Softcopy Presentation LUT (PS3.3 C.11.6): highdicom writes it, and some viewers look for it.
    segmentation.PresentationLUTShape = "IDENTITY"
    # Common Instance Reference (PS3.3 C.12.2)
    segmentation.ReferencedSeriesSequence = [
        dataset_of(
            SeriesInstanceUID=source.SeriesInstanceUID,
            ReferencedInstanceSequence=[_reference(source)],
        )
    ]
    # SOP Common (PS3.3 C.12.1)
    segmentation.SOPClassUID = SEGMENTATION_STORAGE
    segmentation.SOPInstanceUID = uids.sop_instance_uid(kind, owner)
    stamp(segmentation, source, kind, context, owner)
    segmentation.SeriesNumber = identity.series_number(kind, image_number)
    segmentation.SeriesDescription = _description(image, segmentation.SeriesDescription)
    _add_frames(segmentation, source, source_frames)
    place_frames(segmentation, source, source_frames)
    _add_dimensions(segmentation, uids.dimension_organization_uid(f"{owner}{_apart(kind)}"))
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
) -> Dataset:
    """Describe one segment of one finding (PS3.3 C.8.20.4)."""
    bundle = context.identity.bundle
    name = to_ascii(bundle.name, 64)
    algorithm = dataset_of(
        AlgorithmFamilyCodeSequence=[coded(codes.ARTIFICIAL_INTELLIGENCE)],
        AlgorithmVersion=to_ascii(bundle.version, 64),
        AlgorithmName=name,
    )
    method = codes.METHODS.get(finding.method)
    if method is not None:
        algorithm.AlgorithmNameCodeSequence = [coded(method)]
    anatomy = coded(codes.BREAST)
    side = codes.LATERALITIES.get(image.laterality)
    if side is not None:
        anatomy.AnatomicRegionModifierSequence = [coded(side)]
    return dataset_of(
        SegmentNumber=number,
        SegmentLabel=to_ascii(label, LABEL_LENGTH),
        SegmentDescription=f"Region by {method_of(finding)}",
        SegmentedPropertyCategoryCodeSequence=[coded(codes.ABNORMAL_STRUCTURE)],
        SegmentedPropertyTypeCodeSequence=[coded(codes.code_of(finding))],
        AnatomicRegionSequence=[anatomy],
        SegmentAlgorithmType="AUTOMATIC",
        SegmentAlgorithmName=name,
        SegmentationAlgorithmIdentificationSequence=[algorithm],
        RecommendedDisplayCIELabValue=cielab_of(context.colors[finding.name]),
        TrackingID=tracking_id,
        TrackingUID=tracking_uid,
    )


def cielab_of(color: RGB) -> list[int]:
    """Return a colour as segments state it (PS3.3 C.10.7.1.1)."""
    return list(CIELabColor.from_rgb(*color).value)


def _reference(source: Dataset) -> Dataset:
    return dataset_of(
        ReferencedSOPClassUID=source.SOPClassUID, ReferencedSOPInstanceUID=source.SOPInstanceUID
    )


def _apart(kind: ResultKind) -> str:
    return "" if kind is ResultKind.SEGMENTATION else f" {kind}"


def _add_frames(segmentation: Dataset, source: Dataset, source_frames: Sequence[int]) -> None:
    """Add the functional groups of a frame for each segment (PS3.3 C.7.6.16)."""
    frames = [
        dataset_of(
            DerivationImageSequence=[_derivation(source, frame)],
            FrameContentSequence=[dataset_of(DimensionIndexValues=number)],
        )
        for number, frame in enumerate(source_frames, start=1)
    ]
    shared = Dataset()
    # What is the same for all frames is said once, as it is for an only one.
    for number, item in enumerate([shared] if len(frames) == 1 else frames, start=1):
        item.SegmentIdentificationSequence = [dataset_of(ReferencedSegmentNumber=number)]
    segmentation.NumberOfFrames = len(frames)
    segmentation.SharedFunctionalGroupsSequence = [shared]
    segmentation.PerFrameFunctionalGroupsSequence = frames


def _derivation(source: Dataset, frame: int) -> Dataset:
    """Name the image, or the frame of it, that a frame lies on (PS3.3 C.7.6.16.2.6)."""
    reference = _reference(source)
    if is_multi_frame(source):
        reference.ReferencedFrameNumber = frame
    reference.SpatialLocationsPreserved = "YES"
    reference.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return dataset_of(
        SourceImageSequence=[reference],
        DerivationCodeSequence=[coded(codes.SEGMENTATION)],
    )


def _add_dimensions(segmentation: Dataset, uid: str) -> None:
    """Order the frames by their segments (PS3.3 C.7.6.17)."""
    segmentation.DimensionOrganizationSequence = [dataset_of(DimensionOrganizationUID=uid)]
    segmentation.DimensionIndexSequence = [
        dataset_of(
            DimensionOrganizationUID=uid,
            DimensionIndexPointer=tag_for_keyword("ReferencedSegmentNumber"),
            FunctionalGroupPointer=tag_for_keyword("SegmentIdentificationSequence"),
            DimensionDescriptionLabel="Referenced Segment Number",
        )
    ]
