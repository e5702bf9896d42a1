"""The measurement groups of a report: one for each region, and for each answer without one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from highdicom.sr import (
    AlgorithmIdentification,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.objects import codes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.frames import name_of
from dicom_node.objects.headers import is_multi_frame
from dicom_node.objects.outlines import closed_polyline
from dicom_node.objects.wording import (
    method_of,
    side_of,
    to_ascii,
    tracking_id_of,
    view_of,
    words_of,
)
from mammoclip_core.findings import (
    BreastFindings,
    Finding,
    ImageFindings,
    ImageStatus,
    Region,
    StudyFindings,
)

Group: TypeAlias = (
    PlanarROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations
)

_NO_NUMBER: Final = "summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupBuilder:
    """Builds the groups of one study.

    Attributes
    ----------
    sources : headers by SOP Instance UID
    """

    findings: StudyFindings
    sources: Mapping[str, Dataset]
    context: ResultContext

    def build(self) -> list[Group]:
        """Return all groups: regions first, since dwv 0.36 tells the template by the first one.

        Returns
        -------
        list
            Empty if no image was analysed and none failed.
        """
        return [*self._regions(), *self._whole_images(), *self._summaries(), *self._breasts()]

    def _regions(self) -> Iterator[Group]:
        for image in self.findings.analysed:
            for finding in image.findings:
                for index, region in enumerate(finding.regions):
                    yield self._region(image, finding, index, region)

    def _region(self, image: ImageFindings, finding: Finding, index: int, region: Region) -> Group:
        """Write one region by its coordinates (TID 1410)."""
        source = self.sources[image.sop_instance_uid]
        size = (int(source.Rows), int(source.Columns))
        group = PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self.context.uids.tracking_uid(name_of(image), finding.name, index),
                identifier=tracking_id_of(image, finding, index),
            ),
            finding_type=codes.code_of(finding),
            finding_sites=_sites(image.laterality),
            algorithm_id=self._algorithm(finding),
            method=codes.METHODS.get(finding.method),
            measurements=[_score(finding)],
            referenced_region=ImageRegion(
                graphic_type=GraphicTypeValues.POLYLINE,
                graphic_data=closed_polyline(region, size, image.sop_instance_uid),
                source_image=SourceImageForRegion(
                    source.SOPClassUID, source.SOPInstanceUID, _frames(source, image)
                ),
            ),
        )
        _relate_method(group)
        return group

    def _whole_images(self) -> Iterator[Group]:
        """Write what is above its threshold and has no place (TID 1501)."""
        for image in self.findings.analysed:
            for finding in image.findings:
                if finding.above_threshold and not finding.regions:
                    yield self._whole(
                        self.context.uids.tracking_uid(name_of(image), finding.name),
                        tracking_id_of(image, finding),
                        finding,
                        image.laterality,
                        [image],
                    )

    def _summaries(self) -> Iterator[Group]:
        """Say of each image without findings that it was read, or that it could not be."""
        for image in self.findings.images:
            if image.sop_instance_uid not in self.sources:
                continue
            if image.status is ImageStatus.FAILED:
                yield self._summary(image, codes.NOT_SUCCEEDED)
            elif image.status is ImageStatus.ANALYSED and not _is_positive(image.findings):
                yield self._summary(image, codes.SUCCEEDED_WITHOUT_FINDINGS)

    def _summary(self, image: ImageFindings, summary: Code) -> Group:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self.context.uids.tracking_uid(name_of(image), _NO_NUMBER),
                identifier=to_ascii(f"{view_of(image)} {_NO_NUMBER}", 64),
            ),
            finding_sites=_sites(image.laterality),
            algorithm_id=self._algorithm(),
            qualitative_evaluations=[QualitativeEvaluation(codes.PROCESSING_SUMMARY, summary)],
            source_images=self._images([image]),
        )

    def _breasts(self) -> Iterator[Group]:
        for breast in self.findings.breasts:
            images = [
                image for image in self.findings.analysed if image.laterality == breast.laterality
            ]
            for finding in breast.findings:
                if finding.above_threshold:
                    yield self._whole(
                        self.context.uids.tracking_uid(breast.laterality, finding.name),
                        to_ascii(f"{side_of(breast.laterality)} {words_of(finding.name)}", 64),
                        finding,
                        breast.laterality,
                        images,
                    )
            if breast.density is not None:
                yield self._density(breast, images)

    def _density(self, breast: BreastFindings, images: Sequence[ImageFindings]) -> Group:
        name = "composition"
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self.context.uids.tracking_uid(breast.laterality, name),
                identifier=to_ascii(f"{side_of(breast.laterality)} {name}", 64),
            ),
            finding_sites=_sites(breast.laterality),
            algorithm_id=self._algorithm(),
            qualitative_evaluations=[
                QualitativeEvaluation(
                    codes.BREAST_COMPOSITION, codes.BREAST_COMPOSITIONS[str(breast.density)]
                )
            ],
            source_images=self._images(images),
        )

    def _whole(
        self,
        tracking_uid: str,
        tracking_id: str,
        finding: Finding,
        laterality: str,
        images: Sequence[ImageFindings],
    ) -> Group:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(uid=tracking_uid, identifier=tracking_id),
            finding_type=codes.code_of(finding),
            finding_sites=_sites(laterality),
            algorithm_id=self._algorithm(finding),
            # OHIF 3.13 fails on a number without children in a group without coordinates.
            measurements=[_score(finding, self._algorithm())],
            source_images=self._images(images),
        )

    def _algorithm(self, finding: Finding | None = None) -> AlgorithmIdentification:
        """Name the weights (TID 4019), with the settings and how a finding was scored and found."""
        parameters = [
            f"weights sha256 {self.context.identity.bundle.sha256}",
            f"settings sha256 {self.findings.settings_sha256}",
        ]
        if self.findings.engine is not None:
            parameters.append(f"computed by {to_ascii(str(self.findings.engine), 64)}")
        if finding is not None:
            parameters.append(f"finding {words_of(finding.name)}")
            parameters.append(f"score from {finding.source}, region by {method_of(finding)}")
        return AlgorithmIdentification(
            name=to_ascii(self.context.identity.bundle.name, 64),
            version=to_ascii(self.context.identity.bundle.version, 64),
            parameters=parameters,
        )

    def _images(self, images: Sequence[ImageFindings]) -> list[SourceImageForMeasurementGroup]:
        return [
            SourceImageForMeasurementGroup(
                source.SOPClassUID, source.SOPInstanceUID, _frames(source, image)
            )
            for image in images
            for source in [self.sources[image.sop_instance_uid]]
        ]


def _score(finding: Finding, algorithm: AlgorithmIdentification | None = None) -> Measurement:
    return Measurement(
        name=codes.score_name_of(finding),
        value=round(100.0 * finding.score, 1),
        unit=codes.PERCENT,
        algorithm_id=algorithm,
    )


def _relate_method(group: PlanarROIMeasurementsAndQualitativeEvaluations) -> None:
    """Relate the method as TID 1410 asks: highdicom 0.28 writes CONTAINS."""
    for item in group[0].ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == codes.MEASUREMENT_METHOD.value:
            item.RelationshipType = "HAS CONCEPT MOD"


def _sites(laterality: str) -> list[FindingSite]:
    return [FindingSite(codes.BREAST, laterality=codes.LATERALITIES.get(laterality))]


def _frames(source: Dataset, image: ImageFindings) -> list[int] | None:
    return [image.frame] if is_multi_frame(source) else None


def _is_positive(findings: Sequence[Finding]) -> bool:
    return any(finding.above_threshold for finding in findings)
