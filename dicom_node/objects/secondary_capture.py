"""The picture of one analysed image as a Secondary Capture, which works in every viewer."""

from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.objects import codes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.header_values import element_of
from dicom_node.objects.headers import coded, is_multi_frame, stamp
from dicom_node.objects.image_library import patient_orientation_of
from dicom_node.objects.overlay import Placement
from dicom_node.objects.picture import compose
from dicom_node.objects.rendering import render
from dicom_node.objects.uids import ResultKind
from dicom_node.objects.wording import RESEARCH_MARK
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
    picture = compose(render(source, stored, long_side), image, heatmaps, context)
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
    capture.DerivationDescription = _description(picture.placement)
    capture.SourceImageSequence = [_source_item(source, image)]
    _copy_lossy_compression(capture, source)
    # SC Equipment (PS3.3 C.8.6.1)
    capture.ConversionType = "WSD"
    _set_pixels(capture, picture.pixels)
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
        ResultKind.SECONDARY_CAPTURE, image.sop_instance_uid
    )
    stamp(capture, source, ResultKind.SECONDARY_CAPTURE, context)
    return capture, picture.placement


def _description(placement: Placement) -> str:
    return (
        f"{RESEARCH_MARK}. Rendered image with the model's attention in color. "
        f"Its first pixel begins at column {placement.column_offset}, row {placement.row_offset}; "
        f"scale {placement.column_scale:.4f}, {placement.row_scale:.4f}. Not for measurement."
    )


def _source_item(source: Dataset, image: ImageFindings) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if is_multi_frame(source):
        item.ReferencedFrameNumber = image.frame
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return item


def _copy_lossy_compression(capture: Dataset, source: Dataset) -> None:
    """Keep the memory of a lossy source, which is never lost again (PS3.3 C.7.6.1.1.5)."""
    if source.get("LossyImageCompression") != "01":
        capture.LossyImageCompression = "00"
        return
    capture.LossyImageCompression = "01"
    for keyword in _LOSSY_KEYWORDS:
        element = element_of(source, keyword)
        if element is not None:
            capture[keyword] = element


def _set_pixels(capture: Dataset, pixels: NDArray[Any]) -> None:
    """Write an RGB picture (PS3.3 C.7.6.3)."""
    capture.Rows, capture.Columns, capture.SamplesPerPixel = pixels.shape
    capture.PhotometricInterpretation = "RGB"
    capture.PlanarConfiguration = 0
    capture.BitsAllocated, capture.BitsStored, capture.HighBit = 8, 8, 7
    capture.PixelRepresentation = 0
    values = pixels.tobytes()
    capture.PixelData = values + b"\0" * (len(values) % 2)
    capture["PixelData"].VR = "OB"
