"""The summary sheet of an examination as a Secondary Capture: four views, findings, what lacks."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.overlay import Placement, heatmaps_of
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.drawing.sheet_picture import Tile, compose_sheet
from dicom_node.objects.drawing.sheet_tiles import cell_of, shown_images
from dicom_node.objects.examination import examination_remarks
from dicom_node.objects.frames import ImageKey, key_of
from dicom_node.objects.products import Product
from dicom_node.objects.sc.pixel_encoding import DEFAULT_FORM, PictureForm, set_pixels
from dicom_node.objects.sc.secondary_capture import source_item
from dicom_node.objects.shared_modules import stamp
from dicom_node.objects.wording import RESEARCH_MARK
from mammoclip_core.findings import Heatmap, ImageFindings, StudyFindings


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one sheet in each form, if an image was analysed."""
    kind = ResultKind.SUMMARY_SHEET
    if study.analysis.findings.analysed:
        for form in study.forms(kind):
            yield PlannedObject(
                product=Product(kind=kind, variant=form.variant),
                build=partial(_sheet, study, form),
            )


def build_summary_sheet(
    sources: Mapping[str, Dataset],
    findings: StudyFindings,
    context: ResultContext,
    *,
    displays: Mapping[ImageKey, DisplayPicture],
    heatmaps: Sequence[Heatmap] = (),
    modality: str = "OT",
    long_side: int = 2048,
    form: PictureForm = DEFAULT_FORM,
) -> tuple[Dataset, Mapping[str, Placement]]:
    """Draw the standard views of an examination on one page.

    Of a view that was taken more than once the image with the highest score is shown; further
    views are named below.

    Parameters
    ----------
    sources : headers by SOP Instance UID
    displays : each of `shown_images`, scaled down by `tile_of`
    long_side : pixels
        About the height of the sheet's images together.

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
    shown = shown_images(findings)
    sheet = compose_sheet(
        [
            Tile(
                image=image,
                display=displays[key_of(image)],
                heatmaps=heatmaps_of(image, heatmaps),
            )
            for image in shown
        ],
        findings,
        examination_remarks(findings, sources),
        context,
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
    capture.InstanceNumber = 1
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.PatientOrientation = []
    capture.BurnedInAnnotation = "YES"
    capture.RecognizableVisualFeatures = "NO"
    capture.DerivationDescription = (
        f"{RESEARCH_MARK}. Standard views of the examination, scaled to one page. "
        "Not for measurement."
    )
    capture.SourceImageSequence = [
        source_item(sources[image.sop_instance_uid], image) for image in used
    ]
    # SC Equipment (PS3.3 C.8.6.1)
    capture.ConversionType = "WSD"
    capture.ContentQualification = "RESEARCH"
    # SOP Common (PS3.3 C.12.1)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = context.uids.sop_instance_uid(ResultKind.SUMMARY_SHEET, form.variant)
    headers = [sources[image.sop_instance_uid] for image in used]
    stamp(capture, headers[0], ResultKind.SUMMARY_SHEET, context, form.variant)
    set_pixels(capture, sheet.pixels, form, headers)
    return capture, sheet.placements


def _sheet(study: AnalysedStudy, form: PictureForm) -> Dataset:
    dataset, _ = build_summary_sheet(
        study.headers(),
        study.analysis.findings,
        study.context,
        displays=study.displays(),
        heatmaps=study.analysis.heatmaps,
        modality=study.options.picture_modality,
        long_side=study.options.picture_long_side,
        form=form,
    )
    return dataset


def _set_laterality(capture: Dataset, used: Sequence[ImageFindings]) -> None:
    """State the side, as Laterality cannot where the sheet shows both breasts."""
    sides = {image.laterality for image in used}
    if sides == {""}:
        capture.Laterality = ""
    else:
        capture.ImageLaterality = "B" if len(sides) > 1 else next(iter(sides))
