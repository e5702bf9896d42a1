"""All result objects of one analysed study, in the order in which they are sent."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.cad_report import build_cad_report
from dicom_node.objects.context import ResultContext
from dicom_node.objects.headers import require_one_study
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.measurement_report import build_measurement_report
from dicom_node.objects.overlay import PictureStyle
from dicom_node.objects.palette import colors_of
from dicom_node.objects.profiles import OHIF, Product, Profile, products_of
from dicom_node.objects.references import PredecessorDocument
from dicom_node.objects.secondary_capture import build_secondary_capture
from dicom_node.objects.segmentation import build_segmentation
from dicom_node.objects.summary_sheet import build_summary_sheet, shown_images
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
    source_sop_instance_uid : of the one image that the object is for; None for a whole study
    """

    product: Product
    dataset: Dataset
    source_sop_instance_uid: str | None = None

    @property
    def kind(self) -> ResultKind:
        """Return the kind of the object, whatever its form."""
        return self.product.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """What a site may choose of all its pictures.

    Attributes
    ----------
    picture_modality : ``OT``, or ``MG`` for sites that hang the pictures among the views
    picture_long_side : pixels
        Larger images are scaled down to it.
    """

    picture_modality: str = "OT"
    picture_long_side: int = 2048


DEFAULT_OPTIONS: Final = ResultOptions()


def build_results(
    sources: Sequence[SourceInstance],
    analysis: StudyAnalysis,
    identity: ResultIdentity,
    *,
    profiles: Collection[Profile] = (OHIF,),
    predecessors: Mapping[Product, PredecessorDocument] = MappingProxyType({}),
    options: ResultOptions = DEFAULT_OPTIONS,
) -> tuple[ResultObject, ...]:
    """Build everything that the destinations of one study are to be sent.

    Parameters
    ----------
    sources : every image of the study that was offered to the model, in any order
        Their SOP Instance UIDs enter the UIDs of the results.
    profiles : of the destinations; what two of them share is built once
    predecessors : the reports of the former revision, each by what it was a form of

    Returns
    -------
    tuple of ResultObject
        Pictures and segmentations first, then the reports that refer to them. Byte-identical for
        equal arguments.

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
        products=products_of(profiles),
    )
    parts = (*study.pictures(), *study.segmentations())
    return (
        *parts,
        *study.measurement_reports(profiles, parts, predecessors),
        *study.cad_reports(profiles, predecessors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    """What all builders of one study are given."""

    by_uid: Mapping[str, SourceInstance]
    analysis: StudyAnalysis
    context: ResultContext
    options: ResultOptions
    products: frozenset[Product]

    def pictures(self) -> Iterator[ResultObject]:
        """Draw each image, then the sheet; the pixels of an image are decoded once."""
        styles = self._styles(ResultKind.SECONDARY_CAPTURE)
        sheet_styles = self._styles(ResultKind.SUMMARY_SHEET)
        on_sheet = {
            image.sop_instance_uid
            for image in (shown_images(self.analysis.findings) if sheet_styles else ())
        }
        kept: dict[str, StoredValues] = {}
        for number, image in enumerate(self.analysis.findings.analysed, start=1):
            uid = image.sop_instance_uid
            if not styles and uid not in on_sheet:
                continue
            stored = _stored_values(self.by_uid[uid])
            if uid in on_sheet:
                kept[uid] = stored
            for style in styles:
                yield self._picture(image, number, stored, style)
        if self.analysis.findings.analysed:
            for style in sheet_styles:
                yield self._sheet(kept, style)

    def segmentations(self) -> Iterator[ResultObject]:
        product = Product(kind=ResultKind.SEGMENTATION)
        if product not in self.products:
            return
        for number, image in enumerate(self.analysis.findings.analysed, start=1):
            if any(finding.regions for finding in image.findings):
                yield ResultObject(
                    product=product,
                    dataset=build_segmentation(self._header(image), image, number, self.context),
                    source_sop_instance_uid=image.sop_instance_uid,
                )

    def measurement_reports(
        self,
        profiles: Iterable[Profile],
        parts: Sequence[ResultObject],
        predecessors: Mapping[Product, PredecessorDocument],
    ) -> Iterator[ResultObject]:
        asking = {
            profile.report: profile
            for profile in profiles
            if ResultKind.MEASUREMENT_REPORT in profile.objects
        }
        for product, profile in asking.items():
            yield ResultObject(
                product=product,
                dataset=build_measurement_report(
                    self._library(),
                    self.analysis.findings,
                    self.context,
                    evidence=[part.dataset for part in parts if part.product in profile.parts],
                    predecessor=predecessors.get(product),
                    sop_class_uid=profile.report_sop_class_uid,
                    variant=product.variant,
                ),
            )

    def cad_reports(
        self,
        profiles: Iterable[Profile],
        predecessors: Mapping[Product, PredecessorDocument],
    ) -> Iterator[ResultObject]:
        asked = dict.fromkeys(
            profile.cad for profile in profiles if ResultKind.CAD_REPORT in profile.objects
        )
        for options in asked:
            product = Product(kind=ResultKind.CAD_REPORT, variant=options.variant)
            yield ResultObject(
                product=product,
                dataset=build_cad_report(
                    self._library(),
                    self.analysis.findings,
                    self.context,
                    options=options,
                    predecessor=predecessors.get(product),
                ),
            )

    def _picture(
        self, image: ImageFindings, number: int, stored: StoredValues, style: PictureStyle
    ) -> ResultObject:
        dataset, _ = build_secondary_capture(
            self._header(image),
            image,
            number,
            self.context,
            stored=stored,
            heatmaps=self._heatmaps(image),
            modality=self.options.picture_modality,
            long_side=self.options.picture_long_side,
            style=style,
        )
        return ResultObject(
            product=Product(kind=ResultKind.SECONDARY_CAPTURE, variant=style),
            dataset=dataset,
            source_sop_instance_uid=image.sop_instance_uid,
        )

    def _sheet(self, stored: Mapping[str, StoredValues], style: PictureStyle) -> ResultObject:
        dataset, _ = build_summary_sheet(
            {uid: source.dataset for uid, source in self.by_uid.items()},
            self.analysis.findings,
            self.context,
            stored=stored,
            heatmaps=self.analysis.heatmaps,
            modality=self.options.picture_modality,
            long_side=self.options.picture_long_side,
            style=style,
        )
        return ResultObject(
            product=Product(kind=ResultKind.SUMMARY_SHEET, variant=style), dataset=dataset
        )

    def _styles(self, kind: ResultKind) -> list[PictureStyle]:
        wanted = {product.variant for product in self.products if product.kind is kind}
        return [style for style in PictureStyle if style in wanted]

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
