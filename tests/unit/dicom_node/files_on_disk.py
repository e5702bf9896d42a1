"""Files as they lie on a disc: DICOM files of small mammograms, and what lies beside them."""

from pathlib import Path

from node_factory import PREAMBLE, encoded
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode_file_meta


def dicom_file(dataset: Dataset, **meta: str) -> bytes:
    """Return a data set as a DICOM file; keywords of file meta information change it."""
    written = FileMetaDataset()
    written.MediaStorageSOPClassUID = dataset.SOPClassUID
    written.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    written.TransferSyntaxUID = ExplicitVRLittleEndian
    written.ImplementationClassUID = UID("1.2.3.4")
    for keyword, value in meta.items():
        setattr(written, keyword, value)
    return PREAMBLE + encode_file_meta(written) + encoded(dataset)


def on_disk(folder: Path, *datasets: Dataset, **meta: str) -> Path:
    """Write data sets as DICOM files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets, start=len(list(folder.iterdir()))):
        (folder / f"{number:04d}.dcm").write_bytes(dicom_file(dataset, **meta))
    return folder


def media_directory(*referenced: str) -> bytes:
    """Return a DICOMDIR that names files by their parts, which may lead anywhere."""
    directory = Dataset()
    directory.SOPClassUID = "1.2.840.10008.1.3.10"
    directory.SOPInstanceUID = "1.2.3.4.5"
    directory.FileSetID = "DISC"
    directory.DirectoryRecordSequence = []
    for name in referenced:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = name.split("/")
        directory.DirectoryRecordSequence.append(record)
    return dicom_file(directory)
