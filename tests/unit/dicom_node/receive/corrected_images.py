"""Mammograms with pixels that can be decoded, and copies of them as archives send them again."""

import copy
from typing import Any

import imagecodecs
import numpy as np
from node_factory import Reception, mammogram
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance

SIDE = 64
CORRECTED = {
    "PatientName": "Richtig^Rita",
    "PatientID": "RICHTIG-1",
    "PatientBirthDate": "19610407",
    "AccessionNumber": "A-2",
}
"""Another identity in every attribute."""


def pictured(view: str = "MLO", laterality: str = "L", **attributes: Any) -> Dataset:
    """Return a mammogram whose pixels are readable."""
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    values = ((row + column) * 16).astype("<u2")
    shown = {"WindowCenter": 2048, "WindowWidth": 4096, "PresentationLUTShape": "IDENTITY"}
    size = {"Rows": SIDE, "Columns": SIDE, "PixelData": values.tobytes()}
    return mammogram(view, laterality, **{**shown, **size, **attributes})


def four_pictured(**attributes: Any) -> list[Dataset]:
    return [pictured(view, side, **attributes) for view in ("CC", "MLO") for side in "RL"]


def copy_of(dataset: Dataset, **changes: Any) -> Dataset:
    """Return the same instance with other attributes."""
    other = copy.deepcopy(dataset)
    for keyword, value in changes.items():
        setattr(other, keyword, value)
    return other


def other_pixels(dataset: Dataset) -> Dataset:
    return copy_of(dataset, PixelData=bytes(len(dataset.PixelData)))


def truncated(dataset: Dataset) -> Dataset:
    return copy_of(dataset, PixelData=dataset.PixelData[: len(dataset.PixelData) // 2])


def as_jpeg_ls(dataset: Dataset) -> Dataset:
    """Return it coded without loss; send it as `JPEGLSLossless`."""
    values = np.frombuffer(dataset.PixelData, "<u2").reshape(SIDE, SIDE)
    coded = copy_of(dataset, PixelData=encapsulate([imagecodecs.jpegls_encode(values)]))
    coded["PixelData"].is_undefined_length = True
    coded["PixelData"].VR = "OB"
    return coded


JPEG_LS = {"transfer_syntax": JPEGLSLossless}
"""How `as_jpeg_ls` is put into the spool."""


def kept(reception: Reception) -> list[Instance]:
    return [row for row in reception.instances() if row.state is InstanceState.REGISTERED]


def files_and_rows(reception: Reception) -> None:
    """Assert that every row has its file and every file its row, and that nothing waits."""
    reception.registrar.register_all()
    places = {row.place for row in reception.instances() if row.place}
    found = {
        str(file.relative_to(reception.spool.root))
        for folder in ("studies", "set-aside")
        for file in reception.files(folder)
    }
    assert found == places
    assert (reception.files("incoming"), reception.files("partial")) == ([], [])
