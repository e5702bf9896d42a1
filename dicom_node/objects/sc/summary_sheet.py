"""The pages of the summary sheet as Secondary Captures: views, findings, what lacks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.hanging import cell_of, images_on, pages_of
from dicom_node.objects.drawing.overlay import Placement, heatmaps_of
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.drawing.sheet_picture import Tile, compose_sheet
from dicom_node.objects.findings.examination import examination_remarks
from dicom_node.objects.frames import ImageKey, key_of
from dicom_node.objects.modules.shared_modules import stamp
from dicom_node.objects.products import Product
from dicom_node.objects.sc.pixel_encoding import DEFAULT_FORM, PictureForm, set_pixels
from dicom_node.objects.sc.secondary_capture import burned_in_annotation, source_item
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.wording import RESEARCH_MARK
from mammoclip_core.findings import Heatmap, ImageFindings, StudyFindings


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan the pages of one sheet in each form, if an image was analysed."""
    kind = ResultKind.SUMMARY_SHEET
    if study.analysis.findings.analysed:
        for form in study.forms(kind):
            for page in range(1, len(study.pages) + 1):
                yield PlannedObject(
                    product=Product(kind=kind, variant=form.variant),
                    build=partial(_sheet, study, form, page),
                )


def build_summary_sheet(
    sources: Mapping[str, Dataset],
    findings: StudyFindings,
    context: ResultContext,
    *,
    displays: Callable[[ImageFindings], DisplayPicture],
    heatmaps: Sequence[Heatmap] = (),
    modality: str = "OT",
    long_side: int = 2048,
    form: PictureForm = DEFAULT_FORM,
    page: int = 1,
) -> tuple[Dataset, Mapping[ImageKey, Placement]]:
    """Draw one page: the standard views of an examination, or what else is positive.

    Parameters
    ----------
    sources : headers by SOP Instance UID
    displays : returns an image of the page, scaled down to `cell_of` the long side
    long_side : pixels
        About the height of the page's images together.
    page : 1 or more

    Returns
    -------
    Dataset, Mapping of Placement
        The object, and where the pixels of each shown source lie in it.

    Raises
    ------
    ObjectRefusedError
        No image was analysed.

    References
    ----------
    PS3.3 A.8.1, C.8.6.1.
    """
    analysed = findings.analysed
    if not analysed:
        raise ObjectRefusedError(f"no image of study {findings.study_instance_uid} was analysed")
    pages = pages_of(findings)
    shown = images_on(pages[page - 1])

    def tile_of(image: ImageFindings) -> Tile:
        return Tile(image=image, display=displays(image), heatmaps=heatmaps_of(image, heatmaps))

    sheet = compose_sheet(
        pages,
        page,
        tile_of,
        findings=findings,
        remarks=examination_remarks(findings, sources),
        context=context,
        cell=cell_of(long_side),
        style=form.style,
    )
    used = shown or analysed[:1]
    capture = Dataset()
    # General Series (PS3.3 C.7.3.1)
    capture.Modality = modality
    capture.BodyPartExamined = "BREAST"
    _set_laterality(capture, used)
    # General Image (PS3.3 C.7.6.1)
    capture.InstanceNumber = page
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.PatientOrientation = []
    headers = [sources[image.sop_instance_uid] for image in used]
    capture.BurnedInAnnotation = burned_in_annotation(headers)
    capture.RecognizableVisualFeatures = "NO"
    scores = context.scores.comment(*context.scores.breasts)
    if scores:
        capture.ImageComments = scores
    capture.DerivationDescription = (
        f"{RESEARCH_MARK}. {_SHOWS[page == 1]}, scaled to one page: page {page} of {len(pages)}. "
        "Not for measurement."
    )
    capture.SourceImageSequence = [
        source_item(sources[image.sop_instance_uid], image, codes.SOURCE_IMAGE_FOR_MONTAGE)
        for image in used
    ]
    # SC Equipment (PS3.3 C.8.6.1)
    capture.ConversionType = "WSD"
    capture.ContentQualification = "RESEARCH"
    # SOP Common (PS3.3 C.12.1)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = context.uids.sop_instance_uid(
        ResultKind.SUMMARY_SHEET, _apart(form, page)
    )
    stamp(capture, headers[0], ResultKind.SUMMARY_SHEET, context, form.variant)
    set_pixels(capture, sheet.pixels, form, headers)
    return capture, dict(zip(map(key_of, shown), sheet.placements, strict=True))


_SHOWS: Final = {True: "Standard views of the examination", False: "Further images with findings"}


def _apart(form: PictureForm, page: int) -> str:
    """Return what tells a page from all others of its study."""
    return form.variant if page == 1 else f"{form.variant} page {page}"


def _sheet(study: AnalysedStudy, form: PictureForm, page: int) -> Dataset:
    dataset, _ = build_summary_sheet(
        study.headers(),
        study.analysis.findings,
        study.context,
        displays=study.on_page,
        heatmaps=study.analysis.heatmaps,
        modality=study.options.picture_modality,
        long_side=study.options.picture_long_side,
        form=form,
        page=page,
    )
    return dataset


def _set_laterality(capture: Dataset, used: Sequence[ImageFindings]) -> None:
    """State the side, as Laterality cannot where the sheet shows both breasts."""
    sides = {image.laterality for image in used}
    if sides == {""}:
        capture.Laterality = ""
    else:
        capture.ImageLaterality = "B" if len(sides) > 1 else next(iter(sides))
