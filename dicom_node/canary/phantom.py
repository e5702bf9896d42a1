"""The phantom: four standard views of half ellipses with a bright spot, always the same bytes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.facts.canary import CANARY_PATIENT, CANARY_STUDY

FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.2"
VIEWS: Final = tuple((view, side) for view in ("CC", "MLO") for side in "RL")
"""View Position and Image Laterality of its images."""

_ROWS: Final = 760
_COLUMNS: Final = 456
_SPACING_MM: Final = 0.28
TIMES: Final = 6
"""How much finer the pixels of a large image are."""


def phantom_study() -> list[Dataset]:
    """Return the four images of the canary study."""
    return [_image(number, view, side) for number, (view, side) in enumerate(VIEWS, start=1)]


def large_image(number: int) -> Dataset:
    """Return an image of the study with as many pixels as mammograms of 24 x 29 cm have.

    Parameters
    ----------
    number : 1 to 4
    """
    view, side = VIEWS[number - 1]
    dataset = _image(number, view, side)
    large = _pixels(number, side).repeat(TIMES, axis=0).repeat(TIMES, axis=1)
    dataset.Rows, dataset.Columns = large.shape
    dataset.ImagerPixelSpacing = [_SPACING_MM / TIMES, _SPACING_MM / TIMES]
    dataset.PixelData = large.tobytes()
    return dataset


def image_uid(number: int) -> str:
    """Return the SOP Instance UID of an image of the study, 1 to 4."""
    return f"{CANARY_STUDY}.1.{number}"


def _image(number: int, view: str, laterality: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Patient, General Study
    dataset.PatientName = "Canary^Phantom"
    dataset.PatientID = CANARY_PATIENT
    dataset.PatientBirthDate = "19000101"
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = CANARY_STUDY
    dataset.StudyDate, dataset.StudyTime = "19000101", "000000"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "CANARY", "", ""
    # General Series, Mammography Series
    dataset.SeriesInstanceUID = f"{CANARY_STUDY}.1"
    dataset.SeriesNumber, dataset.Modality = 1, "MG"
    # SOP Common, General Image, Mammography Image
    dataset.SOPClassUID = FOR_PRESENTATION
    dataset.SOPInstanceUID = image_uid(number)
    dataset.InstanceNumber, dataset.ImageType = number, ["DERIVED", "PRIMARY"]
    dataset.PresentationIntentType, dataset.BodyPartExamined = "FOR PRESENTATION", "BREAST"
    dataset.Manufacturer = "mammoclip-node canary"
    dataset.ImageLaterality, dataset.ViewPosition = laterality, view
    dataset.PatientOrientation = ["P" if laterality == "R" else "A", "FR" if view == "MLO" else "L"]
    dataset.ImagerPixelSpacing = [_SPACING_MM, _SPACING_MM]
    # Image Pixel, VOI LUT
    dataset.Rows, dataset.Columns = _ROWS, _COLUMNS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign, dataset.PresentationLUTShape = 1, "IDENTITY"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.LossyImageCompression, dataset.BurnedInAnnotation = "00", "NO"
    dataset.PixelData = _pixels(number, laterality).tobytes()
    return dataset


def _pixels(number: int, laterality: str) -> NDArray[np.uint16]:
    row, column = np.mgrid[0:_ROWS, 0:_COLUMNS]
    if laterality == "R":
        column = _COLUMNS - 1 - column
    distance = (column / 380) ** 2 + ((row - _ROWS / 2) / 340) ** 2
    # Whole numbers only: floating point might differ from machine to machine, and pixels must not.
    tissue = 900 + (row * 7 + column * 13 + number * 101) % 256
    spot = (row - 300 - 20 * number) ** 2 + (column - 150) ** 2 < 30**2
    return np.where(distance < 1, tissue + 1600 * spot, 0).astype("<u2")
