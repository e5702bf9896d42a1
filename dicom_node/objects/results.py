"""All result objects of one analysed study, in the order in which they are sent."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.objects.cad_sr.cad_report import build_cad_report
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.overlay import heatmaps_of
from dicom_node.objects.drawing.palette import colors_of
from dicom_node.objects.drawing.picture import shown_heatmaps
from dicom_node.objects.drawing.rendering import DisplayPicture, ShownImage, show
from dicom_node.objects.frames import ImageKey, by_frame, header_of_frame, key_of
from dicom_node.objects.header_values import readable
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.pdf.encapsulated_pdf import build_pdf_report
from dicom_node.objects.pr.presentation_state import build_presentation_state
from dicom_node.objects.profiles import OHIF, Product, Profile
from dicom_node.objects.references import PredecessorDocument
from dicom_node.objects.sc.pixel_encoding import PictureForm
from dicom_node.objects.sc.secondary_capture import build_secondary_capture
from dicom_node.objects.sc.summary_sheet import build_summary_sheet, shown_images, tile_of
from dicom_node.objects.seg.attention_segmentation import build_attention_segmentation
from dicom_node.objects.seg.segmentation import build_segmentation
from dicom_node.objects.shared_modules import require_one_study
from dicom_node.objects.sources import SourceInstance, has_size, require_sources
from dicom_node.objects.sr.measurement_report import build_measurement_report
from dicom_node.objects.uids import AnalysisUIDs, ResultKind
from mammoclip_core.findings import ImageFindings, ImageStatus, StudyAnalysis
from mammoclip_core.images.views import STANDARD_VIEWS


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
    sources = [replace(source, dataset=readable(source.dataset)) for source in sources]
    require_one_study([source.dataset for source in sources], findings.study_instance_uid)
    by_uid = {str(source.dataset.SOPInstanceUID): source for source in sources}
    images = sorted(by_frame(findings.images), key=_hanging_order)
    require_sources(images, by_uid)
    study = _Study(
        by_uid=by_uid,
        analysis=replace(analysis, findings=replace(findings, images=tuple(images))),
        context=ResultContext(
            identity=identity,
            uids=AnalysisUIDs.of(findings, by_uid, identity.revision),
            colors=colors_of(images),
        ),
        options=options,
        profiles=tuple(dict.fromkeys(profiles)),
    )
    evidence = (*study.pictures(), *study.segmentations(), *study.attention_segmentations())
    return (
        *evidence,
        *study.presentation_states(),
        *study.pdf_reports(),
        *study.measurement_reports(evidence, predecessors),
        *study.cad_reports(predecessors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    """What all builders of one study are given.

    Attributes
    ----------
    displays : filled by `pictures`, for the pages that show several images
    """

    by_uid: Mapping[str, SourceInstance]
    analysis: StudyAnalysis
    context: ResultContext
    options: ResultOptions
    profiles: Sequence[Profile]
    displays: dict[ImageKey, DisplayPicture] = field(default_factory=dict)

    def pictures(self) -> Iterator[ResultObject]:
        """Draw each image, then the sheet; the pixels of an image are decoded once."""
        forms = self._forms(ResultKind.SECONDARY_CAPTURE)
        sheet_forms = self._forms(ResultKind.SUMMARY_SHEET)
        with_pages = sheet_forms or self._forms(ResultKind.PDF_REPORT)
        on_page = (
            {key_of(image) for image in shown_images(self.analysis.findings)}
            if with_pages
            else set()
        )
        long_side = self.options.picture_long_side
        for number, image in enumerate(self.analysis.findings.analysed, start=1):
            if not forms and key_of(image) not in on_page:
                continue
            source = self.by_uid[image.sop_instance_uid]
            header = header_of_frame(source.dataset, image.frame)
            shown = show(header, source.stored_values(image.frame))
            if key_of(image) in on_page:
                self.displays[key_of(image)] = tile_of(shown, long_side)
            for form in forms:
                yield self._picture(image, number, shown, form)
        if self.analysis.findings.analysed:
            for form in sheet_forms:
                yield self._sheet(form)

    def segmentations(self) -> Iterator[ResultObject]:
        if not self._asked(ResultKind.SEGMENTATION):
            return
        for number, (uid, images) in enumerate(self._by_instance().items(), start=1):
            if any(finding.regions for image in images for finding in image.findings):
                yield ResultObject(
                    product=Product(kind=ResultKind.SEGMENTATION),
                    dataset=build_segmentation(
                        self.by_uid[uid].dataset, images, number, self.context
                    ),
                    source_sop_instance_uid=uid,
                )

    def attention_segmentations(self) -> Iterator[ResultObject]:
        if not self._asked(ResultKind.ATTENTION_SEGMENTATION):
            return
        for number, (uid, images) in enumerate(self._by_instance().items(), start=1):
            heatmaps = [
                heatmap
                for image in images
                for heatmap in shown_heatmaps(image, heatmaps_of(image, self.analysis.heatmaps))
            ]
            if heatmaps:
                yield ResultObject(
                    product=Product(kind=ResultKind.ATTENTION_SEGMENTATION),
                    dataset=build_attention_segmentation(
                        self.by_uid[uid].dataset, images, heatmaps, number, self.context
                    ),
                    source_sop_instance_uid=uid,
                )

    def presentation_states(self) -> Iterator[ResultObject]:
        if not self._asked(ResultKind.PRESENTATION_STATE):
            return
        for number, image in enumerate(self.analysis.findings.analysed, start=1):
            if any(finding.regions for finding in image.findings):
                yield ResultObject(
                    product=Product(kind=ResultKind.PRESENTATION_STATE),
                    dataset=build_presentation_state(
                        self._header(image), image, number, self.context
                    ),
                    source_sop_instance_uid=image.sop_instance_uid,
                )

    def pdf_reports(self) -> Iterator[ResultObject]:
        for style in dict.fromkeys(form.style for form in self._forms(ResultKind.PDF_REPORT)):
            yield ResultObject(
                product=Product(kind=ResultKind.PDF_REPORT, variant=style.value),
                dataset=build_pdf_report(
                    self._headers(),
                    self.analysis.findings,
                    self.context,
                    displays=self.displays,
                    heatmaps=self.analysis.heatmaps,
                    style=style,
                ),
            )

    def measurement_reports(
        self,
        parts: Sequence[ResultObject],
        predecessors: Mapping[Product, PredecessorDocument],
    ) -> Iterator[ResultObject]:
        asking = {
            profile.report: profile
            for profile in self.profiles
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
        self, predecessors: Mapping[Product, PredecessorDocument]
    ) -> Iterator[ResultObject]:
        asked = dict.fromkeys(
            profile.cad for profile in self.profiles if ResultKind.CAD_REPORT in profile.objects
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
        self, image: ImageFindings, number: int, shown: ShownImage, form: PictureForm
    ) -> ResultObject:
        dataset, _ = build_secondary_capture(
            self._header(image),
            image,
            number,
            self.context,
            shown=shown,
            heatmaps=heatmaps_of(image, self.analysis.heatmaps),
            modality=self.options.picture_modality,
            long_side=self.options.picture_long_side,
            form=form,
        )
        return ResultObject(
            product=Product(kind=ResultKind.SECONDARY_CAPTURE, variant=form.variant),
            dataset=dataset,
            source_sop_instance_uid=image.sop_instance_uid,
        )

    def _sheet(self, form: PictureForm) -> ResultObject:
        dataset, _ = build_summary_sheet(
            self._headers(),
            self.analysis.findings,
            self.context,
            displays=self.displays,
            heatmaps=self.analysis.heatmaps,
            modality=self.options.picture_modality,
            long_side=self.options.picture_long_side,
            form=form,
        )
        return ResultObject(
            product=Product(kind=ResultKind.SUMMARY_SHEET, variant=form.variant), dataset=dataset
        )

    def _asked(self, kind: ResultKind) -> bool:
        return any(kind in profile.objects for profile in self.profiles)

    def _forms(self, kind: ResultKind) -> list[PictureForm]:
        asked = {profile.form for profile in self.profiles if kind in profile.objects}
        return sorted(asked, key=lambda form: form.variant)

    def _header(self, image: ImageFindings) -> Dataset:
        return self.by_uid[image.sop_instance_uid].dataset

    def _headers(self) -> dict[str, Dataset]:
        return {uid: source.dataset for uid, source in self.by_uid.items()}

    def _by_instance(self) -> dict[str, list[ImageFindings]]:
        """Return the analysed frames of each instance, in the order in which images are hung."""
        instances: dict[str, list[ImageFindings]] = {}
        for image in self.analysis.findings.analysed:
            instances.setdefault(image.sop_instance_uid, []).append(image)
        return instances

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
        if source is None or not has_size(source.dataset):
            return False
        return image.status is ImageStatus.FAILED or source.dataset.get("Modality") == "MG"


def _hanging_order(image: ImageFindings) -> tuple[int, str, str, str, int]:
    """Sort as mammograms are hung: RCC, LCC, RMLO, LMLO, then the rest."""
    view = (image.laterality, image.view_position)
    place = STANDARD_VIEWS.index(view) if view in STANDARD_VIEWS else len(STANDARD_VIEWS)
    return place, image.view_position, image.laterality, image.sop_instance_uid, image.frame
