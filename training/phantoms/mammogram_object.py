"""A phantom's view as a Digital Mammography X-Ray Image, For Presentation."""

import uuid
from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, JPEGLSLossless

from mammoclip_core.images.header.views import STANDARD_VIEWS
from training.phantoms.view import BITS_STORED, PhantomView

_NAMESPACE: Final = uuid.UUID("0b4b2c1e-52c9-5c8e-8d55-1a5c7f0f6b7d")
_VIEW_CODES: Final = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
}
_ORIENTATIONS: Final = {
    ("R", "CC"): ["P", "L"],
    ("L", "CC"): ["A", "R"],
    ("R", "MLO"): ["P", "F"],
    ("L", "MLO"): ["A", "F"],
}


def to_dataset(view: PhantomView) -> Dataset:
    """Write one view as Digital Mammography X-Ray Image For Presentation, JPEG-LS lossless.

    References
    ----------
    PS3.3 A.26, C.8.11.7.
    """
    dataset = Dataset()
    laterality, patient = view.breast.laterality, view.patient
    name = laterality + view.view_position
    # SOP Common (PS3.3 C.12.1)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = _uid(patient.patient_id, name)
    # Patient, General Study (PS3.3 C.7.1.1, C.7.2.1)
    dataset.PatientName = f"PHANTOM^Seed {patient.seed} {patient.number}"
    dataset.PatientID = f"PHANTOM-{patient.patient_id}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "F"
    dataset.PatientAge = f"{patient.age:03d}Y"
    dataset.StudyInstanceUID = _uid(patient.patient_id, "study")
    dataset.StudyID = "1"
    dataset.StudyDate, dataset.StudyTime = "20240101", "080000"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Mammography phantom, computed, not a patient"
    # General Series, General Equipment (PS3.3 C.7.3.1, C.7.5.1)
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = _uid(patient.patient_id, f"series {name}")
    dataset.SeriesNumber = STANDARD_VIEWS.index((laterality, view.view_position)) + 1
    dataset.SeriesDescription = f"{laterality} {view.view_position}"
    dataset.Manufacturer = "Computed phantom"
    dataset.ManufacturerModelName = "training.phantoms"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    _describe_image(dataset, view)
    _describe_acquisition(dataset, view)
    _set_pixels(dataset, view.pixels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    return dataset


def _describe_image(dataset: Dataset, view: PhantomView) -> None:
    # General Image, DX Image (PS3.3 C.7.6.1, C.8.11.3)
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = "20240101", "080000"
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20240101", "080000"
    dataset.PatientOrientation = _ORIENTATIONS[view.breast.laterality, view.view_position]
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = "1600", "3200"
    # Acquisition Context (PS3.3 C.7.6.14)
    dataset.AcquisitionContextSequence = []


def _describe_acquisition(dataset: Dataset, view: PhantomView) -> None:
    # Mammography Image, DX Detector, DX Positioning (PS3.3 C.8.11.7, C.8.11.4, C.8.11.5)
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.ImageLaterality = view.breast.laterality
    dataset.ViewPosition = view.view_position
    value, meaning = _VIEW_CODES[view.view_position]
    dataset.ViewCodeSequence = [_code(value, meaning)]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    dataset.AnatomicRegionSequence = [_code("76752008", "Breast")]
    dataset.BodyPartExamined = "BREAST"
    dataset.OrganExposed = "BREAST"
    dataset.BreastImplantPresent = "NO"
    dataset.PartialView = "NO"
    dataset.DetectorType = "DIRECT"
    dataset.ImagerPixelSpacing = [f"{spacing:.6g}" for spacing in view.spacing_mm]
    dataset.EstimatedRadiographicMagnificationFactor = "1"


def _set_pixels(dataset: Dataset, pixels: NDArray[np.uint16]) -> None:
    # Image Pixel (PS3.3 C.7.6.3)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = 16, BITS_STORED
    dataset.HighBit = BITS_STORED - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(pixels))])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _uid(patient_id: str, part: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, f'{patient_id}/{part}').int}"
