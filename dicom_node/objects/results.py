"""All result objects of one analysed study, in the order in which they are sent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.context import ResultContext
from dicom_node.objects.headers import require_one_study
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.measurement_report import (
    COMPREHENSIVE_3D_SR,
    build_measurement_report,
)
from dicom_node.objects.palette import colors_of
from dicom_node.objects.references import PredecessorDocument
from dicom_node.objects.secondary_capture import build_secondary_capture
from dicom_node.objects.segmentation import build_segmentation
from dicom_node.objects.uids import AnalysisUIDs, ResultKind
from mammoclip_core.findings import Heatmap, ImageFindings, ImageStatus, StudyAnalysis
from mammoclip_core.views import STANDARD_VIEWS

StoredValues = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInstance:
    """One image of the study as the builders need it.

    Attributes
    ----------
    dataset : header, pixel data not needed
    pixels : (rows, columns) stored values, or what returns them when they are needed, or None
        None is right for an image that was not analysed.
    """

    dataset: Dataset
    pixels: Callable[[], StoredValues] | StoredValues | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One object to send.

    Attributes
    ----------
    source_sop_instance_uid : of the one image that the object is for; None for the report
    """

    kind: ResultKind
    dataset: Dataset
    source_sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """What a site may choose of the result objects.

    Attributes
    ----------
    report_sop_class_uid : Comprehensive 3D SR or Comprehensive SR
    picture_modality : ``OT``, or ``MG`` for sites that hang the pictures among the views
    picture_long_side : pixels
        Larger images are scaled down to it.
    """

    report_sop_class_uid: str = COMPREHENSIVE_3D_SR
    picture_modality: str = "OT"
    picture_long_side: int = 2048


DEFAULT_OPTIONS: Final = ResultOptions()


def build_results(
    sources: Sequence[SourceInstance],
    analysis: StudyAnalysis,
    identity: ResultIdentity,
    predecessor: PredecessorDocument | None = None,
    options: ResultOptions = DEFAULT_OPTIONS,
) -> tuple[ResultObject, ...]:
    """Build the pictures, the segmentations and the report of one study.

    Parameters
    ----------
    sources : every image of the study that was offered to the model, in any order
        Their SOP Instance UIDs enter the UIDs of the results.
    predecessor : the report of the former revision, if there is one

    Returns
    -------
    tuple of ResultObject
        A picture for each analysed image, a segmentation for each image with a region, and last
        the report that refers to them. Byte-identical for equal arguments.

    Raises
    ------
    ObjectRefusedError
        The sources disagree about the patient or the study, lack what an object must say, or do
        not fit the findings. The message names the instance and the attribute, never a value.
    """
    findings = analysis.findings
    require_one_study([source.dataset for source in sources], findings.study_instance_uid)
    by_uid = {str(source.dataset.SOPInstanceUID): source for source in sources}
    images = sorted(findings.images, key=_hanging_order)
    _require_sources(images, by_uid)
    study = _Study(
        by_uid=by_uid,
        analysis=replace(analysis, findings=replace(findings, images=tuple(images))),
        context=ResultContext(
            identity=identity,
            uids=AnalysisUIDs.of(findings, by_uid, identity.revision),
            colors=colors_of(images),
        ),
        options=options,
    )
    parts = (*study.pictures(), *study.segmentations())
    return (*parts, study.report(parts, predecessor))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    """What all builders of one study are given."""

    by_uid: Mapping[str, SourceInstance]
    analysis: StudyAnalysis
    context: ResultContext
    options: ResultOptions

    def pictures(self) -> Iterator[ResultObject]:
        analysed = self.analysis.findings.analysed
        for number, image in enumerate(analysed, start=1):
            dataset, _ = build_secondary_capture(
                self._header(image),
                image,
                number,
                self.context,
                stored=_stored_values(self.by_uid[image.sop_instance_uid]),
                heatmaps=self._heatmaps(image),
                modality=self.options.picture_modality,
                long_side=self.options.picture_long_side,
            )
            yield ResultObject(
                kind=ResultKind.SECONDARY_CAPTURE,
                dataset=dataset,
                source_sop_instance_uid=image.sop_instance_uid,
            )

    def segmentations(self) -> Iterator[ResultObject]:
        for number, image in enumerate(self.analysis.findings.analysed, start=1):
            if any(finding.regions for finding in image.findings):
                yield ResultObject(
                    kind=ResultKind.SEGMENTATION,
                    dataset=build_segmentation(self._header(image), image, number, self.context),
                    source_sop_instance_uid=image.sop_instance_uid,
                )

    def report(
        self, parts: Sequence[ResultObject], predecessor: PredecessorDocument | None
    ) -> ResultObject:
        return ResultObject(
            kind=ResultKind.MEASUREMENT_REPORT,
            dataset=build_measurement_report(
                self._library(),
                self.analysis.findings,
                self.context,
                evidence=[part.dataset for part in parts],
                predecessor=predecessor,
                sop_class_uid=self.options.report_sop_class_uid,
            ),
        )

    def _header(self, image: ImageFindings) -> Dataset:
        return self.by_uid[image.sop_instance_uid].dataset

    def _heatmaps(self, image: ImageFindings) -> list[Heatmap]:
        return [
            heatmap
            for heatmap in self.analysis.heatmaps
            if (heatmap.sop_instance_uid, heatmap.frame) == (image.sop_instance_uid, image.frame)
        ]

    def _library(self) -> dict[str, Dataset]:
        """Return the headers that the report lists: what was read, and mammograms that were not.

        An image without a size, or whose header is not the patient's, is told of in words only.
        """
        return {
            image.sop_instance_uid: self._header(image)
            for image in self.analysis.findings.images
            if image.status is ImageStatus.ANALYSED or self._is_mammogram(image)
        }

    def _is_mammogram(self, image: ImageFindings) -> bool:
        source = self.by_uid.get(image.sop_instance_uid)
        if source is None or not _has_size(source.dataset):
            return False
        return image.status is ImageStatus.FAILED or source.dataset.get("Modality") == "MG"


def _hanging_order(image: ImageFindings) -> tuple[int, str, str, str, int]:
    """Sort as mammograms are hung: RCC, LCC, RMLO, LMLO, then the rest."""
    view = (image.laterality, image.view_position)
    place = STANDARD_VIEWS.index(view) if view in STANDARD_VIEWS else len(STANDARD_VIEWS)
    return place, image.view_position, image.laterality, image.sop_instance_uid, image.frame


def _require_sources(images: Sequence[ImageFindings], by_uid: Mapping[str, SourceInstance]) -> None:
    seen: set[str] = set()
    for image in images:
        uid = image.sop_instance_uid
        if uid in seen:
            raise ObjectRefusedError(f"instance {uid} has answers for 2 frames")
        seen.add(uid)
        if image.status is not ImageStatus.ANALYSED:
            continue
        if uid not in by_uid:
            raise ObjectRefusedError(f"instance {uid} is not among the sources")
        if not _has_size(by_uid[uid].dataset):
            raise ObjectRefusedError(f"instance {uid} has no Rows or no Columns")


def _has_size(dataset: Dataset) -> bool:
    return bool(dataset.get("Rows") and dataset.get("Columns"))


def _stored_values(source: SourceInstance) -> StoredValues:
    pixels = source.pixels
    if pixels is None:
        raise ObjectRefusedError(
            f"instance {source.dataset.SOPInstanceUID} was analysed but its pixels are not given"
        )
    return pixels() if callable(pixels) else pixels
