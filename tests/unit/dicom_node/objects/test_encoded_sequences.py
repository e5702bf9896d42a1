"""Sequences that were encoded beforehand are those that the library would have written."""

from io import BytesIO

import pytest
from every_kind import objects_of
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.objects.elements import encoded_sequences
from dicom_node.objects.elements.encoded_sequences import with_encoded_sequences
from dicom_node.objects.writing import write_object


def holding(*items: Dataset, charset: str | list[str] | None = None) -> Dataset:
    """Return an object with items in a sequence in a sequence."""
    dataset, outer = Dataset(), Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if charset is not None:
        dataset.SpecificCharacterSet = charset
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    outer.ContentSequence = list(items)
    dataset.ContentSequence = [outer]
    return dataset


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def read_back(dataset: Dataset, *, implicit: bool) -> Dataset:
    """Return a data set as a source would be read: its elements as bytes, not yet looked at."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return dcmread(stream)


def by_library(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def by_us(dataset: Dataset) -> bytes:
    stream = BytesIO()
    write_object(dataset, stream)
    return stream.getvalue()


@pytest.mark.parametrize("study", ["many findings", "Japanese name", "compressed pictures"])
def test_every_kind_of_object_is_written_as_by_the_library(study: str) -> None:
    for result in objects_of(study):
        assert by_us(result.dataset) == by_library(result.dataset), result.kind


def _ambiguous() -> Dataset:
    dataset = holding(item(PixelPaddingValue=-5))
    dataset.PixelRepresentation = 1
    return dataset


def _undefined_length() -> Dataset:
    dataset = holding(item(CodeValue="1"))
    nested = item(CodeMeaning="within")
    nested.is_undefined_length_sequence_item = True
    dataset.ContentSequence[0].ContentSequence.append(nested)
    dataset.ContentSequence[0]["ContentSequence"].is_undefined_length = True
    return dataset


def _as_read(*, implicit: bool) -> Dataset:
    source = item(
        PatientName="Иванова^Анна",
        SpecificCharacterSet="ISO_IR 144",
        RequestAttributesSequence=[item(RequestedProcedureDescription="обследование")],
    )
    return holding(read_back(source, implicit=implicit), charset="ISO_IR 192")


UNUSUAL = {
    "numbers of equal value and other text": lambda: holding(
        item(NumericValue="1.0"), item(NumericValue="1.00"), item(NumericValue=["2", "2.0"])
    ),
    "one text in two representations": lambda: holding(
        item(CodeValue="12"), item(CodeMeaning="12"), item(UID="12"), item(TextValue="12 ")
    ),
    "names in two character sets": lambda: holding(
        item(PersonName="Yamada^Hanako=山田^花子=やまだ^はなこ"),
        item(TextValue="山田"),
        charset=["", "ISO 2022 IR 87"],
    ),
    "a character set within an item": lambda: holding(
        item(TextValue="Анна", SpecificCharacterSet="ISO_IR 144"),
        item(TextValue="Анна"),
        charset="ISO_IR 192",
    ),
    "nothing in them": lambda: holding(
        item(), item(CodeValue="", ContentSequence=[]), item(CodeMeaning=None)
    ),
    "numbers, dates, tags and bytes": lambda: holding(
        item(
            ReferencedContentItemIdentifier=[1, 2, 3],
            ReferencedFrameNumber=[1, 7],
            Date="20260102",
            DateTime="20260102030405.000006",
            GraphicData=[0.5, 1.25, 7.0],
            SelectorAttribute=0x00100020,
            EncapsulatedDocument=b"%PDF",
        )
    ),
    "tags that were set in another order": lambda: holding(
        item(TextValue="last", ValueType="TEXT", RelationshipType="CONTAINS")
    ),
    "a value that depends on the object around it": _ambiguous,
    "sequences and items without a length": _undefined_length,
    "an item that was read in implicit VR": lambda: _as_read(implicit=True),
    "an item that was read in explicit VR": lambda: _as_read(implicit=False),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_sequence_is_written_as_by_the_library(kind: str) -> None:
    assert by_us(UNUSUAL[kind]()) == by_library(UNUSUAL[kind]())


def test_ambiguous_value_is_written_by_the_sign_that_the_object_states() -> None:
    written = dcmread(BytesIO(by_us(_ambiguous())))

    padding = written.ContentSequence[0].ContentSequence[0]["PixelPaddingValue"]
    assert (padding.VR, padding.value) == ("SS", -5)


def test_object_is_as_it_was_after_its_sequences_were_encoded() -> None:
    dataset = holding(item(CodeValue="1"))

    with_encoded_sequences(dataset)

    assert dataset == holding(item(CodeValue="1"))
    assert isinstance(dataset.ContentSequence, Sequence)
    assert dataset.original_encoding == (None, None)


def test_equal_texts_are_encoded_once(monkeypatch) -> None:
    encoded = []
    write = encoded_sequences.write_data_element

    def noted(buffer, element, encodings):
        encoded.append(element.value)
        write(buffer, element, encodings)

    monkeypatch.setattr(encoded_sequences, "write_data_element", noted)

    with_encoded_sequences(holding(*(item(CodeValue="1", CodeMeaning="one") for _ in range(9))))

    assert sorted(encoded) == ["1", "one"]
