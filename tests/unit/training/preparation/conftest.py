"""DICOM files for preparation: phantoms with their tables, and images made to measure."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from training.data.table_reading import read_cells
from training.phantoms.writing import Order, write_phantoms


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Eight small phantom patients: folder ``dicom``, and tables in the published formats."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(Order(seed=4, studies=8, out=folder, rows=190, columns=114, with_dicom=True))
    return folder


@pytest.fixture
def cells():
    """Return a function that reads a table, every cell as its text."""
    return lambda path: read_cells(path).reset_index(drop=True)


@pytest.fixture
def mammogram():
    """Return a function that writes a mammogram of these pixels; attributes replace its own."""

    def write(path, pixels, **attributes):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
        dataset.StudyInstanceUID = "1.2.3.4"
        dataset.PatientName, dataset.PatientID = "Doe^Jane", "MRN-4711"
        dataset.ImageLaterality, dataset.ViewPosition = "L", "MLO"
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.PixelData = pixels.astype(np.uint16).tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return dataset

    return write


@pytest.fixture
def breast():
    """Pixels of a half disc of noise, (220, 150), at the left edge."""
    rows, columns = np.mgrid[:220, :150]
    inside = (rows - 110) ** 2 + columns**2 < 100**2
    noise = np.random.default_rng(3).integers(900, 1500, (220, 150))
    return np.where(inside, noise, 0)
