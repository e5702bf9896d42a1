"""Phantom mammograms: four made-up views with one known mass, for trying the system without data.

A phantom looks like a breast to a program and to nobody else: an outline, a power-law texture, a
pectoral muscle on oblique views, noise. It proves that a path works, never that a model is right.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import imagecodecs
import numpy as np
import typer
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, JPEGLSLossless

ROWS: Final = 1520
COLUMNS: Final = 912
BITS_STORED: Final = 12
SPACING_MM: Final = 0.14
VIEWS: Final = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))

_NOISE: Final = 1.5
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """Where the mass of a phantom lies on one view: the truth that a model may be held against.

    Attributes
    ----------
    column, row : centre in pixels
    radius : pixels
    """

    column: float
    row: float
    radius: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomView:
    """One view of a phantom.

    Attributes
    ----------
    pixels : (1520, 912) uint16, 12 bits used
        Display sense: air is dark. The chest wall is on the left for a left breast.
    mass : None on the views of the healthy breast
    """

    laterality: str
    view_position: str
    pixels: NDArray[np.uint16]
    mass: Mass | None


def draw_phantom(seed: int) -> tuple[PhantomView, ...]:
    """Draw the four standard views of one made-up patient, the same for the same seed.

    One breast, chosen by the seed, has a mass: at the same depth on both of its views.
    """
    generator = np.random.default_rng(seed)
    affected = "RL"[generator.integers(2)]
    depth, radius = generator.uniform(0.3, 0.5), generator.uniform(38.0, 60.0)
    return tuple(
        _draw_view(generator, *view, (depth, radius) if view[0] == affected else None)
        for view in VIEWS
    )


def to_dataset(view: PhantomView, seed: int) -> Dataset:
    """Write one view as Digital Mammography X-Ray Image For Presentation, JPEG-LS lossless.

    References
    ----------
    PS3.3 A.26, C.8.11.7.
    """
    dataset = Dataset()
    name = view.laterality + view.view_position
    # SOP Common (PS3.3 C.12.1)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = _uid(seed, name)
    # Patient, General Study (PS3.3 C.7.1.1, C.7.2.1)
    dataset.PatientName = f"PHANTOM^Seed {seed}"
    dataset.PatientID = f"PHANTOM-{seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "F"
    dataset.StudyInstanceUID = _uid(seed, "study")
    dataset.StudyID = "1"
    dataset.StudyDate, dataset.StudyTime = "20240101", "080000"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Mammography phantom, computed, not a patient"
    # General Series, General Equipment (PS3.3 C.7.3.1, C.7.5.1)
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = _uid(seed, f"series {name}")
    dataset.SeriesNumber = VIEWS.index((view.laterality, view.view_position)) + 1
    dataset.SeriesDescription = f"{view.laterality} {view.view_position}"
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


def write_phantom(seed: int, folder: Path) -> Iterator[Path]:
    """Write the four views of one phantom as ``RCC.dcm`` and so on; yields each file."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in draw_phantom(seed):
        path = folder / f"{view.laterality}{view.view_position}.dcm"
        to_dataset(view, seed).save_as(path, enforce_file_format=True)
        yield path


def main(
    out: Annotated[Path, typer.Option(help="Folder for the four files; made when missing.")],
    seed: Annotated[int, typer.Option(min=0, help="The same number gives the same phantom.")] = 1,
) -> None:
    """Make one phantom study of four views with one mass.

    Example: python -m training.phantoms --seed 7 --out phantoms/7
    """
    for path in write_phantom(seed, out):
        typer.echo(path)


def _draw_view(
    generator: np.random.Generator,
    laterality: str,
    view_position: str,
    lesion: tuple[float, float] | None,
) -> PhantomView:
    """Draw with the chest wall at column 0, and mirror for a right breast at the end."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    is_oblique = view_position == "MLO"
    centre, width = (0.56 if is_oblique else 0.5) * ROWS, generator.uniform(0.74, 0.84) * COLUMNS
    above = (0.6 if is_oblique else 0.44) * ROWS
    height = np.where(rows < centre, above, (0.41 if is_oblique else 0.44) * ROWS)
    squared = (columns / width) ** 2 + ((rows - centre) / height) ** 2
    thickness = np.sqrt(np.clip(1.0 - squared, 0.0, 1.0))
    image = 1700.0 * thickness**0.4 + 420.0 * thickness * _power_law_texture(generator)
    if is_oblique:
        image += 900.0 * _pectoral_muscle(rows, columns)
        thickness = np.maximum(thickness, _pectoral_muscle(rows, columns))
    mass = None
    if lesion is not None:
        depth, radius = lesion
        row = centre + generator.uniform(-0.12, 0.2) * ROWS
        mass = Mass(column=float((1.0 - depth) * width * 0.8), row=float(row), radius=radius)
        distance = np.hypot(columns - mass.column, rows - mass.row) / radius
        image += 1300.0 * np.sqrt(np.clip(1.0 - distance**2, 0.0, 1.0))
    image += np.where(thickness > 0, generator.normal(0.0, _NOISE, image.shape), 0.0)
    pixels = np.clip(image, 0, 2**BITS_STORED - 1).astype(np.uint16)
    if laterality == "R":
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        if mass is not None:
            mass = Mass(column=COLUMNS - 1 - mass.column, row=mass.row, radius=mass.radius)
    return PhantomView(laterality=laterality, view_position=view_position, pixels=pixels, mass=mass)


def _power_law_texture(generator: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Return (rows, columns) noise whose power falls with the third power of frequency, sd 1.

    That is about what breast tissue does (Burgess 2001, doi:10.1118/1.1355308).
    """
    white = np.fft.rfft2(generator.standard_normal((ROWS, COLUMNS)))
    frequency = np.hypot(np.fft.fftfreq(ROWS)[:, None], np.fft.rfftfreq(COLUMNS)[None, :])
    frequency[0, 0], white[0, 0] = 1.0, 0.0
    # The finest detail is left to the noise, as a detector's blur would.
    spectrum = white * np.exp(-((frequency / 0.12) ** 2)) / frequency**1.5
    texture = np.fft.irfft2(spectrum, s=(ROWS, COLUMNS))
    return np.asarray(texture / texture.std())


def _pectoral_muscle(
    rows: NDArray[np.floating[Any]], columns: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Return (rows, columns) in [0, 1]: a soft-edged triangle in the upper corner."""
    inside = (columns / (0.42 * COLUMNS) + rows / (0.55 * ROWS) < 1.0).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(inside, (0, 0), 6.0))


def _describe_image(dataset: Dataset, view: PhantomView) -> None:
    # General Image, DX Image (PS3.3 C.7.6.1, C.8.11.3)
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = "20240101", "080000"
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20240101", "080000"
    dataset.PatientOrientation = _ORIENTATIONS[view.laterality, view.view_position]
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = "1900", "3800"
    # Acquisition Context (PS3.3 C.7.6.14)
    dataset.AcquisitionContextSequence = []


def _describe_acquisition(dataset: Dataset, view: PhantomView) -> None:
    # Mammography Image, DX Detector, DX Positioning (PS3.3 C.8.11.7, C.8.11.4, C.8.11.5)
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.ImageLaterality = view.laterality
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
    dataset.ImagerPixelSpacing = [SPACING_MM, SPACING_MM]
    dataset.EstimatedRadiographicMagnificationFactor = "1"


def _set_pixels(dataset: Dataset, pixels: NDArray[np.uint16]) -> None:
    # Image Pixel (PS3.3 C.7.6.3)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = 16, BITS_STORED
    dataset.HighBit = BITS_STORED - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate([imagecodecs.jpegls_encode(pixels)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _uid(seed: int, part: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, f'{seed}/{part}').int}"


if __name__ == "__main__":
    typer.run(main)
