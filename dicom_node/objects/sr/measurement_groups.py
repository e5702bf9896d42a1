"""The measurement groups of a report: one for each region."""

from collections.abc import Iterator, Mapping

from pydicom.dataset import Dataset

from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.findings.lesions import numbered_regions
from dicom_node.objects.findings.outlines import closed_polyline
from dicom_node.objects.frames import name_of
from dicom_node.objects.sr.lesion_items import lesion_number, location_items
from dicom_node.objects.sr.observation_items import (
    algorithm_of,
    frames_of,
    image_of,
    site_of,
    tracking_of,
)
from dicom_node.objects.sr.viewer_labels import label_of
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.scores import percent_of
from dicom_node.objects.terms.wording import tracking_id_of
from mammoclip_core.findings import Finding, ImageFindings, Region, StudyFindings


def region_groups(
    findings: StudyFindings, sources: Mapping[str, Dataset], context: ResultContext
) -> Iterator[Item]:
    """Write each region by its coordinates (TID 1410).

    Parameters
    ----------
    sources : headers by SOP Instance UID

    Raises
    ------
    ObjectRefusedError
        An outline lies outside its image.
    """
    for image in findings.analysed:
        source = sources[image.sop_instance_uid]
        for number, finding, index in numbered_regions(image):
            yield content_tree.container(
                Relationship.CONTAINS,
                codes.MEASUREMENT_GROUP,
                [
                    *tracking_of(
                        context.uids.tracking_uid(name_of(image), finding, index),
                        tracking_id_of(image, finding, index),
                    ),
                    *_found(finding),
                    site_of(image.laterality, finding.regions[index].location),
                    *algorithm_of(context, findings, finding, finding.regions[index]),
                    *_said(number, finding, finding.regions[index]),
                    _outline(source, image, finding.regions[index]),
                ],
                continuity="CONTINUOUS",
                template="1410",
            )


def _found(finding: Finding) -> Iterator[Item]:
    yield content_tree.code(Relationship.CONTAINS, codes.FINDING, codes.code_of(finding))
    method = codes.METHODS.get(finding.method)
    if method is not None:
        yield content_tree.code(Relationship.HAS_CONCEPT_MOD, codes.MEASUREMENT_METHOD, method)


def _said(number: int, finding: Finding, region: Region) -> Iterator[Item]:
    yield label_of(number, finding, region)
    yield content_tree.floating_number(
        Relationship.CONTAINS,
        codes.score_name_of(finding, region),
        percent_of(finding, region),
        codes.PERCENT,
    )
    yield lesion_number(number)
    yield from location_items(region.location)
    # As a CAD report tells a region below the threshold.
    if not region.above_threshold:
        yield content_tree.code(
            Relationship.CONTAINS, codes.RENDERING_INTENT, codes.PRESENTATION_OPTIONAL
        )


def _outline(source: Dataset, image: ImageFindings, region: Region) -> Item:
    size = (int(source.Rows), int(source.Columns))
    points = closed_polyline(region, size, image.sop_instance_uid)
    return content_tree.coordinates(
        Relationship.CONTAINS,
        codes.IMAGE_REGION,
        "POLYLINE",
        points.ravel().tolist(),
        image_of(Relationship.SELECTED_FROM, codes.SOURCE, source, frames_of(source, image)),
    )
