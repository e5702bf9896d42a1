"""Damaged and odd images give valid objects, or a refusal that names the attribute."""

from typing import Any

import pydicom
import pytest
from every_kind import EVERY_KIND, tomosynthesis
from hypothesis import example, given, settings
from hypothesis import strategies as st
from objects_factory import finding, image_of, mammogram, marker_mask, results_of
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from sr_reading import read_back

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.content.content_rules import complaints_about

DAMAGEABLE = (
    *("ViewCodeSequence", "ImageType", "PatientOrientation", "ImagerPixelSpacing", "WindowCenter"),
    *("WindowWidth", "StudyDate", "StudyTime", "PatientBirthDate", "PatientSex", "StudyID"),
    *("AccessionNumber", "InstanceNumber", "BodyPartExamined", "PresentationLUTShape"),
    *("LossyImageCompression", "SpecificCharacterSet", "ReferringPhysicianName"),
)
SEQUENCES = (
    *("ViewCodeSequence", "ModalityLUTSequence", "VOILUTSequence", "PixelMeasuresSequence"),
    *("ReferencedStudySequence", "ProcedureCodeSequence", "SharedFunctionalGroupsSequence"),
)


def objects_of(dataset: Dataset) -> list[Dataset]:
    results = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))), profiles=(EVERY_KIND,)
    )
    return [read_back(one.dataset) for one in results]


def assert_valid_or_refused(dataset: Dataset, keyword: str) -> None:
    """Every object is whole, or there is none and the message names instance and attribute."""
    try:
        made = objects_of(dataset)
    except ObjectRefusedError as error:
        assert str(dataset.SOPInstanceUID) in str(error)
        assert keyword in str(error)
    else:
        assert made
        for one in made:
            assert complaints_about(one) == []


def with_bytes(keyword: str, vr: str, value: bytes) -> Dataset:
    """Return a mammogram with an attribute as a file holds it: not yet read as a value."""
    dataset = mammogram()
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return dataset


def test_private_attributes_are_not_copied() -> None:
    dataset = mammogram()
    block = dataset.private_block(0x0019, "SOME VENDOR", create=True)
    block.add_new(0x01, "LO", "Quellwasser")
    block.add_new(0x02, "UN", b"\x00\xff" * 20)
    inner = Dataset()
    inner.private_block(0x0029, "SOME VENDOR", create=True).add_new(0x01, "LO", "Quellwasser")
    dataset.ProcedureCodeSequence = [inner]

    made = objects_of(dataset)

    # All but attention maps, which want a heatmap, and a note, which wants a former revision.
    assert len(made) >= len(EVERY_KIND.objects) - 2
    for one in made:
        assert not [element for element in one if element.tag.is_private]
        assert complaints_about(one) == []


@pytest.mark.parametrize("keyword", SEQUENCES)
@pytest.mark.parametrize(
    "value", [None, [], [Dataset()], [Dataset(), Dataset()]], ids=["null", "empty", "hollow", "two"]
)
def test_sequence_without_content_breaks_nothing(keyword: str, value: Any) -> None:
    assert_valid_or_refused(mammogram(**{keyword: value}), keyword)


@pytest.mark.parametrize("keyword", SEQUENCES)
@pytest.mark.parametrize(
    "value",
    [b"\xfe\xff\x00\xe0\xff\x00\x00\x00abc", b"\x01\x02\x03", b"\xfe\xff\x00\xe0"],
    ids=["item cut off", "no item", "no length"],
)
def test_broken_sequence_breaks_nothing(keyword: str, value: bytes) -> None:
    assert_valid_or_refused(with_bytes(keyword, "SQ", value), keyword)


@pytest.mark.parametrize("keyword", ["ViewCodeSequence", "ViewPosition", "ImageLaterality"])
def test_view_that_is_not_told_breaks_nothing(keyword: str) -> None:
    assert_valid_or_refused(mammogram(without=(keyword,)), keyword)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_image_without_identity_is_refused_by_name(keyword: str) -> None:
    with pytest.raises(ObjectRefusedError, match=f"has no {keyword}"):
        objects_of(mammogram(without=(keyword,)))


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_image_without_a_size_is_refused_by_name(keyword: str) -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150)))
    del dataset[keyword]

    with pytest.raises(ObjectRefusedError, match=keyword):
        results_of((dataset, image), profiles=(EVERY_KIND,))


@pytest.mark.parametrize(
    "keyword", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
)
@pytest.mark.parametrize("is_there", [False, True])
def test_volume_with_hollow_functional_groups_breaks_nothing(keyword: str, is_there: bool) -> None:
    dataset = tomosynthesis()
    if is_there:
        setattr(dataset, keyword, [Dataset()])
    else:
        del dataset[keyword]

    assert_valid_or_refused(dataset, keyword)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(DAMAGEABLE), st.binary(max_size=24))
@example("AccessionNumber", b"\\")
@example("SpecificCharacterSet", b"\x00\x01")
@pytest.mark.filterwarnings("ignore")
def test_damaged_attribute_gives_valid_objects_or_is_named(keyword: str, value: bytes) -> None:
    vr = pydicom.datadict.dictionary_VR(keyword)
    dataset = with_bytes(keyword, vr, value + b" " * (len(value) % 2))

    assert_valid_or_refused(dataset, keyword)
