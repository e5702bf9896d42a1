"""A digest is of all that an object says, in the words of the library."""

from io import BytesIO

import numpy as np
import pytest
from every_kind import objects_of
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.objects.elements.content_digest import content_digest
from dicom_node.objects.elements.element_order import elements_in_order


def holding(**attributes: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_elements_are_those_of_the_library_in_its_order() -> None:
    for result in objects_of("many findings"):
        assert [id(one) for one in elements_in_order(result.dataset)] == [
            id(one) for one in result.dataset
        ]


def test_elements_that_were_read_are_decoded() -> None:
    dataset = holding(PatientID="7", SOPClassUID="1.2", SOPInstanceUID="1.2.3", Rows=5)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)

    values = [element.value for element in elements_in_order(dcmread(stream))]

    assert values == ["1.2", "1.2.3", "7", 5]


@pytest.mark.parametrize("keyword", ["GraphicData", "ImagePositionVolume"])
@pytest.mark.parametrize(
    "numbers", [[0.5, 1.25, 3328.0], [1e300, 1 / 3], [np.float64(1 / 3), 2.0], [2.5]]
)
def test_numbers_are_digested_as_the_library_writes_them(
    monkeypatch, keyword: str, numbers: list[float]
) -> None:
    dataset = holding(**{keyword: numbers})
    digest = content_digest(dataset)

    monkeypatch.setattr("dicom_node.objects.elements.content_digest._FLOATS", frozenset())

    assert digest == content_digest(dataset)


@pytest.mark.parametrize("keyword", ["GraphicData", "ImagePositionVolume", "PixelSpacing"])
def test_each_number_counts(keyword: str) -> None:
    digests = {
        content_digest(holding(**{keyword: numbers}))
        for numbers in ([1.0, 2.0], [1.0, 2.5], [2.0, 1.0], [1.0], [1.0, 2.0, 2.0], [])
    }

    assert len(digests) == 6
