"""Synthetic studies as files, with the findings document of a model that is not ours."""

import json
from pathlib import Path
from typing import Any

from objects_factory import breast_pixels, image_of, mammogram, standard_views, study_of
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner, Result

from dicom_node.commands.node import app
from mammoclip_core.findings import Finding, StudyFindings
from mammoclip_core.findings_document import to_json


def written(folder: Path, *datasets: Dataset) -> Path:
    """Write images with their pixels into a folder."""
    folder.mkdir(exist_ok=True)
    for number, dataset in enumerate(datasets):
        dataset.PixelData = breast_pixels(dataset).tobytes() * int(dataset.get("NumberOfFrames", 1))
        dataset["PixelData"].VR = "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(folder / f"image-{number}", enforce_file_format=True)
    return folder


def four_views(folder: Path, *findings: Finding, **attributes: Any) -> tuple[Path, Path]:
    """Write a screening study, and a document that has the same findings on each of its images."""
    datasets = [mammogram(view, side, **attributes) for side, view in standard_views()]
    document = study_of(*(image_of(dataset, *findings) for dataset in datasets))
    return written(folder / "study", *datasets), document_in(folder, document)


def document_in(folder: Path, findings: StudyFindings) -> Path:
    """Write a findings document."""
    file = folder / "findings.json"
    file.write_text(json.dumps(json.loads(to_json(findings))), encoding="utf-8")
    return file


def node(*arguments: str | Path) -> Result:
    """Run a command of the node in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
