"""The measurement groups of a report: one for each region."""

from collections.abc import Iterator, Mapping

from highdicom.sr import (
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset

from dicom_node.objects import codes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.frames import name_of
from dicom_node.objects.graphic_data import graphic_data
from dicom_node.objects.lesions import numbered_regions
from dicom_node.objects.outlines import closed_polyline
from dicom_node.objects.sr.lesion_items import lesion_number, location_items
from dicom_node.objects.sr.observation_items import algorithm_of, frames_of, percent_of, site_of
from dicom_node.objects.sr.viewer_labels import label_of
from dicom_node.objects.wording import tracking_id_of
from mammoclip_core.findings import Finding, ImageFindings, Region, StudyFindings


def region_groups(
    findings: StudyFindings, sources: Mapping[str, Dataset], context: ResultContext
) -> Iterator[PlanarROIMeasurementsAndQualitativeEvaluations]:
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
            region = finding.regions[index]
            group = PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(
                    uid=context.uids.tracking_uid(name_of(image), finding, index),
                    identifier=tracking_id_of(image, finding, index),
                ),
                finding_type=codes.code_of(finding),
                finding_sites=[site_of(image.laterality, region.location)],
                algorithm_id=algorithm_of(context, findings, finding, region),
                method=codes.METHODS.get(finding.method),
                measurements=[label_of(number, finding, region), _score(finding, region)],
                qualitative_evaluations=[
                    lesion_number(number),
                    *location_items(region.location),
                    *_standing(region),
                ],
                referenced_region=_outline(source, image, region),
            )
            _relate_method(group)
            yield group


def _outline(source: Dataset, image: ImageFindings, region: Region) -> ImageRegion:
    size = (int(source.Rows), int(source.Columns))
    points = closed_polyline(region, size, image.sop_instance_uid)
    data = graphic_data(points.ravel().tolist())
    outline = ImageRegion(
        graphic_type=GraphicTypeValues.POLYLINE,
        # The shortest line that highdicom takes: the library looks at each number by itself.
        graphic_data=points[[0, 1, -1]],
        source_image=SourceImageForRegion(
            source.SOPClassUID, source.SOPInstanceUID, frames_of(source, image)
        ),
    )
    outline[data.tag] = data
    return outline


def _score(finding: Finding, region: Region) -> Measurement:
    return Measurement(
        name=codes.score_name_of(finding, region), value=percent_of(region), unit=codes.PERCENT
    )


def _standing(region: Region) -> list[QualitativeEvaluation]:
    """Tell a region below the threshold, as a CAD report does."""
    if region.above_threshold:
        return []
    return [QualitativeEvaluation(codes.RENDERING_INTENT, codes.PRESENTATION_OPTIONAL)]


def _relate_method(group: PlanarROIMeasurementsAndQualitativeEvaluations) -> None:
    """Relate the method as TID 1410 asks: highdicom 0.28 writes CONTAINS."""
    for item in group[0].ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == codes.MEASUREMENT_METHOD.value:
            item.RelationshipType = "HAS CONCEPT MOD"
