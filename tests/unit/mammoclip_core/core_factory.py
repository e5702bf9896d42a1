"""Builders of data sets, manifests and stand-in models for the core's tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import FindingEntry, Manifest, Preprocessing
from mammoclip_core.prediction import Prediction

MAMMOGRAPHY_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
PUBLISHED = Preprocessing(
    mode="published", rows=1520, columns=912, mean=0.3089279, std=0.25053555408335154
)

WriteInstance = Callable[..., Path]


def mammogram(values: NDArray[Any], **attributes: Any) -> Dataset:
    """Return a valid uncompressed single-frame mammogram; attributes replace its own."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MAMMOGRAPHY_FOR_PRESENTATION
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance", values.tobytes().hex()[:200]])
    dataset.StudyInstanceUID = "1.2.3.4"
    dataset.SeriesInstanceUID = "1.2.3.5"
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = "L"
    dataset.ViewPosition = "MLO"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored = 12 if values.dtype.itemsize == 2 else 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def encapsulated(
    path: Path, image: NDArray[Any], transfer_syntax: str, *frames: bytes, **attributes: Any
) -> Path:
    """Write a compressed mammogram of the size of `image`."""
    dataset = mammogram(image, **attributes)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return save(dataset, path)


def save(dataset: Dataset, path: Path) -> Path:
    """Write a data set as it says it is encoded."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def breast(rows: int = 200, columns: int = 160, *, seed: int = 0) -> NDArray[np.uint16]:
    """Return a 12-bit half ellipse with texture at the left edge of a dark background."""
    row, column = np.mgrid[0:rows, 0:columns].astype(np.float64)
    base = 1 - (column / (0.8 * columns)) ** 2 - ((row - rows / 2) / (0.45 * rows)) ** 2
    texture = np.random.default_rng(seed).random((rows, columns))
    return (4000 * np.clip(base, 0, 1) ** 0.5 * (0.7 + 0.3 * texture)).astype(np.uint16)


def manifest_with(*findings: FindingEntry, **changes: Any) -> Manifest:
    """Return the manifest of a bundle without weights, for stand-in models."""
    values: dict[str, Any] = {
        "name": "stand-in",
        "version": "1",
        "weights_sha256": "0" * 64,
        "licence": "Apache-2.0",
        "permitted_use": "unrestricted use",
        "trained_on": "nothing",
        "intended_use": "tests",
        "encoders": (),
        "preprocessing": PUBLISHED,
        "findings": findings or (pair("mass"),),
    }
    return Manifest(**{**values, **changes})


def pair(name: str, threshold: float = 0.5, **changes: Any) -> FindingEntry:
    """Return a finding of two prompts."""
    return FindingEntry(
        name=name,
        code=f"99TEST|{name}|{name}",
        source=FindingSource.PROMPT,
        prompts=(f"no {name}", name),
        threshold=threshold,
        **changes,
    )


@dataclass
class StandInModel:
    """Answers with fixed scores, and looks where the input is brightest."""

    manifest: Manifest
    scores: Mapping[str, float] = field(default_factory=lambda: {"mass": 0.9})
    density_scores: tuple[float, ...] = ()
    batches: list[tuple[int, ...]] = field(default_factory=list)

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        self.batches.append(batch.shape)
        return [
            Prediction(
                scores=self.scores,
                density_scores=self.density_scores,
                activations=dict.fromkeys(self.scores, brightness(image[0])),
            )
            for image in batch
        ]


def brightness(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brightness above 0.9 of the maximum, by cells of 8 x 8 input pixels."""
    rows, columns = image.shape[0] // 8, image.shape[1] // 8
    cells = image[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).mean(axis=(1, 3))
    share = (cells - cells.min()) / (cells.max() - cells.min())
    return np.clip((share - 0.9) / 0.1, 0, 1).astype(np.float32)
