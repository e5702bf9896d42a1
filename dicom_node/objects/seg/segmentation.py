"""The regions of one instance as a binary Segmentation on the grid of that instance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import VR

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.palette import dimmed
from dicom_node.objects.findings.lesions import location_text, numbered_regions
from dicom_node.objects.frames import name_of
from dicom_node.objects.products import Product
from dicom_node.objects.seg.segment_frames import byte_frames, packed_frames
from dicom_node.objects.seg.segmentation_modules import (
    LABEL_LENGTH,
    SegmentationType,
    cielab_of,
    segment_of,
    segmentation_of,
)
from dicom_node.objects.terms.scores import region_score_text
from dicom_node.objects.terms.wording import tracking_id_of, words_of
from mammoclip_core.findings import Finding, ImageFindings, LocalisationMethod, Region, ScoreOf


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one segmentation of each instance that has a region."""
    for number, (uid, images) in enumerate(study.by_instance().items(), start=1):
        if any(True for _ in _regions_of(images)):
            yield PlannedObject(
                product=Product(kind=ResultKind.SEGMENTATION),
                build=partial(
                    build_segmentation, study.by_uid[uid].dataset, images, number, study.context
                ),
                source_sop_instance_uid=uid,
            )


def build_segmentation(
    source: Dataset,
    images: Sequence[ImageFindings],
    image_number: int,
    context: ResultContext,
) -> Dataset:
    """Write the regions of one instance, one segment each, in the order of its findings.

    Its pixels are bits. Where a row of them would not end with a byte they are bytes, all of them
    or nothing: Orthanc 1.10 reads no bits of such a width, and OHIF 3.13 shows both alike.

    Parameters
    ----------
    images : what was found on it, by frame

    Raises
    ------
    ObjectRefusedError
        There is no region, or a region covers no pixel.

    References
    ----------
    PS3.3 A.51, C.8.20.2.
    """
    owner = str(source.SOPInstanceUID)
    regions = tuple(_regions_of(images))
    if not regions:
        raise ObjectRefusedError(f"instance {owner} has no region to write")
    size = (int(source.Rows), int(source.Columns))
    in_bits = size[1] % 8 == 0
    frames, overlap = (packed_frames if in_bits else byte_frames)(
        [shown.region for shown in regions], size, owner
    )
    segmentation = segmentation_of(
        source,
        [_describe(number, shown, context) for number, shown in enumerate(regions, start=1)],
        [shown.image.frame for shown in regions],
        segmentation_type=(SegmentationType.BINARY if in_bits else SegmentationType.FRACTIONAL),
        kind=ResultKind.SEGMENTATION,
        context=context,
        image_number=image_number,
        content_label="AI_REGIONS",
        image=images[0],
    )
    # The library copies what is not bytes, number by number, unless it is told not to look.
    segmentation["PixelData"] = DataElement("PixelData", VR.OB_OW, frames, already_converted=True)
    if not in_bits:
        segmentation.SegmentationFractionalType = "OCCUPANCY"
    segmentation.SegmentsOverlap = "YES" if overlap else "NO"
    return segmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbered:
    """A region with the number of its lesion."""

    number: int
    image: ImageFindings
    finding: Finding
    index: int

    @property
    def region(self) -> Region:
        return self.finding.regions[self.index]


def _regions_of(images: Sequence[ImageFindings]) -> Iterator[_Numbered]:
    for image in images:
        for number, finding, index in numbered_regions(image):
            yield _Numbered(number=number, image=image, finding=finding, index=index)


def _kind_of(finding: Finding) -> str:
    """Say what a segment is: a detector draws boxes, everything else marks its attention."""
    return "detector box" if finding.method is LocalisationMethod.BOX else "attention region"


def _describe(segment_number: int, shown: _Numbered, context: ResultContext) -> Dataset:
    image, finding, region = shown.image, shown.finding, shown.region
    standing = "" if region.above_threshold else ", below threshold"
    beginning = f"{shown.number} AI {_kind_of(finding)}: "
    name = words_of(finding.name, LABEL_LENGTH - len(beginning) - len(standing))
    segment = segment_of(
        segment_number,
        f"{beginning}{name}{standing}",
        image,
        finding,
        context,
        tracking_uid=context.uids.tracking_uid(name_of(image), finding, shown.index),
        tracking_id=tracking_id_of(image, finding, shown.index),
    )
    of_finding = " of the finding" if region.score_of is ScoreOf.FINDING else ""
    parts = (segment.SegmentDescription, region_score_text(finding, region) + of_finding)
    segment.SegmentDescription = ", ".join(filter(None, (*parts, location_text(region))))
    if not region.above_threshold:
        segment.RecommendedDisplayCIELabValue = cielab_of(dimmed(context.colors[finding.name]))
    return segment
