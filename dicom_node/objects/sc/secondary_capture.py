"""The picture of one analysed image as a Secondary Capture, which works in every viewer."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.drawing.overlay import Placement, heatmaps_of
from dicom_node.objects.drawing.picture import compose
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.modules.shared_modules import is_multi_frame, stamp
from dicom_node.objects.products import Product
from dicom_node.objects.sc.pixel_encoding import DEFAULT_FORM, PictureForm, set_pixels
from dicom_node.objects.sc.view_codes import set_view
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.codes import coded
from dicom_node.objects.terms.wording import RESEARCH_MARK, methods_text
from mammoclip_core.findings import Heatmap, ImageFindings
from mammoclip_core.images.header.patient_orientation import patient_orientation_of


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one picture of each analysed image, in each form."""
    kind = ResultKind.SECONDARY_CAPTURE
    for number, image in enumerate(study.analysis.findings.analysed, start=1):
        for form in study.forms(kind):
            yield PlannedObject(
                product=Product(kind=kind, variant=form.variant),
                build=partial(_picture, study, image, number, form),
                source_sop_instance_uid=image.sop_instance_uid,
            )


def build_secondary_capture(
    source: Dataset,
    image: ImageFindings,
    instance_number: int,
    context: ResultContext,
    *,
    shown: DisplayPicture,
    heatmaps: Sequence[Heatmap] = (),
    modality: str = "OT",
    form: PictureForm = DEFAULT_FORM,
) -> tuple[Dataset, Placement]:
    """Draw one analysed image with its findings.

    Parameters
    ----------
    shown : the analysed frame as a viewer shows it, scaled down to its size in the picture
    heatmaps : of this image
    modality : ``OT``, or ``MG`` where a site wants the pictures among the views
    form : the grey style is written in grey levels, the others in RGB

    Returns
    -------
    Dataset, Placement
        The object, and where the pixels of the source lie in it.

    References
    ----------
    PS3.3 A.8.1, C.8.6.1.
    """
    picture = compose(shown, image, heatmaps, context, form.style)
    capture = Dataset()
    # General Series (PS3.3 C.7.3.1)
    capture.Modality = modality
    capture.BodyPartExamined = "BREAST"
    # General Image (PS3.3 C.7.6.1)
    capture.InstanceNumber = instance_number
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.PatientOrientation = list(patient_orientation_of(source) or ())
    capture.BurnedInAnnotation = burned_in_annotation([source])
    capture.RecognizableVisualFeatures = "NO"
    scores = context.scores.comment(image.laterality)
    if scores:
        capture.ImageComments = scores
    capture.DerivationDescription = _description(picture.placement, form.style, image)
    found_by = [finding.method for finding in image.findings if finding.regions]
    methods = [codes.METHODS[name] for name in dict.fromkeys(found_by) if name in codes.METHODS]
    if methods:
        capture.DerivationCodeSequence = [coded(method) for method in methods]
    capture.SourceImageSequence = [source_item(source, image)]
    # SC Equipment (PS3.3 C.8.6.1)
    capture.ConversionType = "WSD"
    # Standard extended: hanging protocols for mammograms look for these.
    set_view(capture, image)
    capture.ContentQualification = "RESEARCH"
    # SOP Common (PS3.3 C.12.1)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = context.uids.sop_instance_uid(
        ResultKind.SECONDARY_CAPTURE, _apart(image, form)
    )
    stamp(capture, source, ResultKind.SECONDARY_CAPTURE, context, form.variant)
    set_pixels(capture, picture.pixels, form, [source])
    return capture, picture.placement


_SHOWN: Final = {
    PictureStyle.COLOR: "in color",
    PictureStyle.SINGLE_COLOR: "in one color",
    PictureStyle.GREY: "by outlines",
    PictureStyle.SIDE_BY_SIDE: "in color, beside the image without it",
}


def _picture(study: AnalysedStudy, image: ImageFindings, number: int, form: PictureForm) -> Dataset:
    dataset, _ = build_secondary_capture(
        study.header(image),
        image,
        number,
        study.context,
        shown=study.shown(image),
        heatmaps=heatmaps_of(image, study.analysis.heatmaps),
        modality=study.options.picture_modality,
        form=form,
    )
    return dataset


def _apart(image: ImageFindings, form: PictureForm) -> str:
    """Return what tells a picture from all others of its study."""
    return f"{image.sop_instance_uid} {image.frame} {form.variant}"


def _description(placement: Placement, style: PictureStyle, image: ImageFindings) -> str:
    methods = methods_text(image.findings)
    return (
        f"{RESEARCH_MARK}. Rendered image with the model's attention {_SHOWN[style]}. "
        f"Its first pixel begins at column {placement.column_offset}, row {placement.row_offset}; "
        f"scale {placement.column_scale:.4f}, {placement.row_scale:.4f}. Not for measurement."
        + (f" {methods}." if methods else "")
    )


def burned_in_annotation(sources: Iterable[Dataset]) -> str:
    """Tell whether a picture's pixels identify patient and date: ours do where the source's do.

    Our own words in a picture name finding, model and warning, never a patient (PS3.3 C.7.6.1).
    """
    named = any(source.get("BurnedInAnnotation") == "YES" for source in sources)
    return "YES" if named else "NO"


def source_item(
    source: Dataset, image: ImageFindings, purpose: Code = codes.SOURCE_IMAGE_FOR_PROCESSING
) -> Dataset:
    """Name an image that a picture is of, and what it was used for (PS3.3 C.7.6.1.1.4)."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if is_multi_frame(source):
        item.ReferencedFrameNumber = image.frame
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [coded(purpose)]
    return item
