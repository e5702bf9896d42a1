"""The picture of one analysed image as a Secondary Capture, which works in every viewer."""

from collections.abc import Sequence
from typing import Any, Final

import cv2
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.objects import codes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.header_values import element_of
from dicom_node.objects.headers import coded, is_multi_frame, stamp
from dicom_node.objects.image_library import patient_orientation_of
from dicom_node.objects.overlay import PictureStyle, Placement
from dicom_node.objects.picture import compose
from dicom_node.objects.rendering import render
from dicom_node.objects.uids import ResultKind
from dicom_node.objects.wording import RESEARCH_MARK, methods_text
from mammoclip_core.findings import Heatmap, ImageFindings

_LOSSY_KEYWORDS: Final = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")


def build_secondary_capture(
    source: Dataset,
    image: ImageFindings,
    instance_number: int,
    context: ResultContext,
    *,
    stored: NDArray[Any],
    heatmaps: Sequence[Heatmap] = (),
    modality: str = "OT",
    long_side: int = 2048,
    style: PictureStyle = PictureStyle.COLOR,
) -> tuple[Dataset, Placement]:
    """Draw one analysed image with its findings.

    Parameters
    ----------
    stored : (rows, columns) integers
        Decoded stored values of the analysed frame.
    heatmaps : of this image
    modality : ``OT``, or ``MG`` where a site wants the pictures among the views
    long_side : pixels
        Of the rendered image, without the strips of text.
    style : the grey one is written in grey levels, the others in RGB

    Returns
    -------
    Dataset, Placement
        The object, and where the pixels of the source lie in it.

    Raises
    ------
    ObjectRefusedError
        The stored values are not those of the source.

    References
    ----------
    PS3.3 A.8.1, C.8.6.1.
    """
    picture = compose(render(source, stored, long_side), image, heatmaps, context, style)
    capture = Dataset()
    # General Series (PS3.3 C.7.3.1)
    capture.Modality = modality
    capture.BodyPartExamined = "BREAST"
    # General Image (PS3.3 C.7.6.1)
    capture.InstanceNumber = instance_number
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.PatientOrientation = list(patient_orientation_of(source) or ())
    capture.BurnedInAnnotation = "YES"
    capture.RecognizableVisualFeatures = "NO"
    capture.DerivationDescription = _description(picture.placement, style, image)
    shown = [finding.method for finding in image.findings if finding.regions]
    methods = [codes.METHODS[method] for method in dict.fromkeys(shown) if method in codes.METHODS]
    if methods:
        capture.DerivationCodeSequence = [coded(method) for method in methods]
    capture.SourceImageSequence = [source_item(source, image)]
    copy_lossy_compression(capture, [source])
    # SC Equipment (PS3.3 C.8.6.1)
    capture.ConversionType = "WSD"
    set_pixels(capture, picture.pixels, style)
    # Standard extended: hanging protocols for mammograms look for these.
    if image.laterality:
        capture.ImageLaterality = image.laterality
    else:
        capture.Laterality = ""
    if image.view_position:
        capture.ViewPosition = image.view_position
    capture.ContentQualification = "RESEARCH"
    # SOP Common (PS3.3 C.12.1)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = context.uids.sop_instance_uid(
        ResultKind.SECONDARY_CAPTURE, f"{image.sop_instance_uid} {image.frame} {style}"
    )
    stamp(capture, source, ResultKind.SECONDARY_CAPTURE, context, style)
    return capture, picture.placement


_SHOWN: Final = {
    PictureStyle.COLOR: "in color",
    PictureStyle.SINGLE_COLOR: "in one color",
    PictureStyle.GREY: "by outlines",
}


def _description(placement: Placement, style: PictureStyle, image: ImageFindings) -> str:
    methods = methods_text(image.findings)
    return (
        f"{RESEARCH_MARK}. Rendered image with the model's attention {_SHOWN[style]}. "
        f"Its first pixel begins at column {placement.column_offset}, row {placement.row_offset}; "
        f"scale {placement.column_scale:.4f}, {placement.row_scale:.4f}. Not for measurement."
        + (f" {methods}." if methods else "")
    )


def source_item(source: Dataset, image: ImageFindings) -> Dataset:
    """Name the image that a picture is of (PS3.3 C.7.6.1.1.4)."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if is_multi_frame(source):
        item.ReferencedFrameNumber = image.frame
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return item


def copy_lossy_compression(capture: Dataset, sources: Sequence[Dataset]) -> None:
    """Keep the memory of a lossy source, which is never lost again (PS3.3 C.7.6.1.1.5)."""
    lossy = [source for source in sources if source.get("LossyImageCompression") == "01"]
    capture.LossyImageCompression = "01" if lossy else "00"
    for keyword in _LOSSY_KEYWORDS if lossy else ():
        element = element_of(lossy[0], keyword)
        if element is not None:
            capture[keyword] = element


def set_pixels(capture: Dataset, pixels: NDArray[Any], style: PictureStyle) -> None:
    """Write an RGB picture, in the grey style as grey levels (PS3.3 C.7.6.3)."""
    if style is PictureStyle.GREY:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        capture.SamplesPerPixel, capture.PhotometricInterpretation = 1, "MONOCHROME2"
    else:
        capture.SamplesPerPixel, capture.PhotometricInterpretation = 3, "RGB"
        capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = pixels.shape[:2]
    capture.BitsAllocated, capture.BitsStored, capture.HighBit = 8, 8, 7
    capture.PixelRepresentation = 0
    values = pixels.tobytes()
    capture.PixelData = values + b"\0" * (len(values) % 2)
    capture["PixelData"].VR = "OB"
