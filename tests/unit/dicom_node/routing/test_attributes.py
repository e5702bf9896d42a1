"""Conditions see the attributes of images as text and numbers, absent ones as empty."""

import math
from typing import Any

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_node.routing.attributes import AGE, MAXIMUM_CHARACTERS, kind_of, values_of
from dicom_node.routing.conditions import Kind


def dataset_of(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("keyword", "kind"),
    [
        ("Manufacturer", Kind.TEXT),
        ("ImageType", Kind.TEXTS),
        ("Rows", Kind.NUMBER),
        ("BodyPartThickness", Kind.NUMBER),
        ("ImagerPixelSpacing", Kind.NUMBERS),
        ("StudyDate", Kind.TEXT),
        ("ViewCodeSequence", None),
        ("PixelData", None),
        ("TransferSyntaxUID", None),
        ("NoSuchThing", None),
    ],
)
def test_kind_follows_from_the_dictionary(keyword: str, kind: Kind | None) -> None:
    assert kind_of(keyword) is kind


def test_values_are_plain() -> None:
    dataset = dataset_of(
        Manufacturer=" GE \0",
        ImageType=["DERIVED", "PRIMARY"],
        Rows=3328,
        BodyPartThickness="61.5",
        ImagerPixelSpacing=["0.1", "0.2"],
        PatientName="Quellwasser^Ottilie",
    )

    assert values_of(dataset, ["Manufacturer", "ImageType", "Rows", "PatientName"]) == {
        "Manufacturer": "GE",
        "ImageType": ["DERIVED", "PRIMARY"],
        "Rows": 3328.0,
        "PatientName": "Quellwasser^Ottilie",
    }
    assert values_of(dataset, ["BodyPartThickness", "ImagerPixelSpacing"]) == {
        "BodyPartThickness": 61.5,
        "ImagerPixelSpacing": [0.1, 0.2],
    }


def test_absent_and_unreadable_values_are_empty() -> None:
    dataset = dataset_of(Manufacturer="", LossyImageCompressionRatio=None)
    raw = RawDataElement(BaseTag(0x00181405), "IS", 4, b"many", 0, False, True, True)
    dataset[0x00181405] = raw  # Relative X-Ray Exposure, as it comes from a file

    assert values_of(dataset, ["Manufacturer", "ImageType", "LossyImageCompressionRatio"]) == {
        "Manufacturer": "",
        "ImageType": [],
        "LossyImageCompressionRatio": [],
    }
    found = values_of(dataset, ["RelativeXRayExposure", "Rows"])
    assert all(math.isnan(value) for value in found.values())


def test_long_texts_are_cut() -> None:
    (text,) = values_of(dataset_of(PatientComments="x" * 9000), ["PatientComments"]).values()

    assert text == "x" * MAXIMUM_CHARACTERS


@pytest.mark.parametrize(
    ("attributes", "age"),
    [
        ({"PatientAge": "045Y"}, 45),
        ({"PatientAge": "018M"}, 1),
        ({"PatientBirthDate": "19800302", "StudyDate": "20260301"}, 45),
        ({"PatientBirthDate": "19800301", "StudyDate": "20260301"}, 46),
        ({"PatientAge": "", "PatientBirthDate": "19800301", "StudyDate": "20260301"}, 46),
        ({"PatientBirthDate": "20270101", "StudyDate": "20260301"}, math.nan),
        ({"PatientBirthDate": "19800301"}, math.nan),
        ({}, math.nan),
    ],
)
def test_age_is_the_stated_one_or_that_at_the_study(attributes: Any, age: float) -> None:
    (found,) = values_of(dataset_of(**attributes), [AGE]).values()

    assert found == age or (math.isnan(age) and math.isnan(float(found)))
