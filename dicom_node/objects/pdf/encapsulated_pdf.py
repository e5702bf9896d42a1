"""The page to print as an Encapsulated PDF, which archives and viewers keep with the images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ENCAPSULATED_PDF, ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.hanging import pages_of
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.drawing.overlay import heatmaps_of
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.drawing.sheet_picture import Tile
from dicom_node.objects.findings.examination import examination_remarks
from dicom_node.objects.modules.shared_modules import stamp
from dicom_node.objects.pdf.page_heading import heading_of
from dicom_node.objects.pdf.report_page import compose_pages
from dicom_node.objects.products import Product
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.codes import coded
from dicom_node.objects.terms.wording import RESEARCH_MARK
from mammoclip_core.findings import Heatmap, ImageFindings, StudyFindings


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one page in each style, if an image was analysed."""
    kind = ResultKind.PDF_REPORT
    if not study.analysis.findings.analysed:
        return
    for style in dict.fromkeys(form.style for form in study.forms(kind)):
        yield PlannedObject(
            product=Product(kind=kind, variant=style.value), build=partial(_page, study, style)
        )


def build_pdf_report(
    sources: Mapping[str, Dataset],
    findings: StudyFindings,
    context: ResultContext,
    *,
    displays: Callable[[ImageFindings], DisplayPicture],
    heatmaps: Sequence[Heatmap] = (),
    style: PictureStyle = PictureStyle.COLOR,
) -> Dataset:
    """Write the report to print.

    Parameters
    ----------
    sources : headers by SOP Instance UID
    displays : returns an image of a page, scaled down for it

    Raises
    ------
    ObjectRefusedError
        No image was analysed.

    References
    ----------
    PS3.3 A.45.1, C.24.1, C.24.2.
    """
    analysed = findings.analysed
    if not analysed:
        raise ObjectRefusedError(f"no image of study {findings.study_instance_uid} was analysed")
    headers = [sources[image.sop_instance_uid] for image in analysed]
    source = headers[0]

    def tile_of(image: ImageFindings) -> Tile:
        return Tile(image=image, display=displays(image), heatmaps=heatmaps_of(image, heatmaps))

    page = compose_pages(
        pages_of(findings),
        tile_of,
        findings=findings,
        remarks=examination_remarks(findings, sources),
        heading=heading_of(headers),
        context=context,
        style=style,
    )
    report = Dataset()
    # Encapsulated Document Series (PS3.3 C.24.1)
    report.Modality = "DOC"
    # SC Equipment (PS3.3 C.8.6.1)
    report.ConversionType = "WSD"
    # Encapsulated Document (PS3.3 C.24.2)
    report.InstanceNumber = 1
    report.AcquisitionDateTime = ""
    report.BurnedInAnnotation = "YES"
    report.RecognizableVisualFeatures = "NO"
    report.SourceInstanceSequence = [
        _reference(sources[uid])
        for uid in dict.fromkeys(image.sop_instance_uid for image in analysed)
    ]
    report.DocumentTitle = f"AI report to print. {RESEARCH_MARK}"
    report.ConceptNameCodeSequence = [coded(dictionary.DCM.ImagingMeasurementReport)]
    report.VerificationFlag = "UNVERIFIED"
    report.MIMETypeOfEncapsulatedDocument = "application/pdf"
    report.EncapsulatedDocument = page + b"\0" * (len(page) % 2)
    report.EncapsulatedDocumentLength = len(page)
    # SOP Common (PS3.3 C.12.1)
    report.SOPClassUID = ENCAPSULATED_PDF
    report.SOPInstanceUID = context.uids.sop_instance_uid(ResultKind.PDF_REPORT, style)
    stamp(report, source, ResultKind.PDF_REPORT, context, style)
    return report


def _page(study: AnalysedStudy, style: PictureStyle) -> Dataset:
    return build_pdf_report(
        study.headers(),
        study.analysis.findings,
        study.context,
        displays=study.on_page,
        heatmaps=study.analysis.heatmaps,
        style=style,
    )


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return item
