"""The sequences of an object as bytes, before the library writes the rest of it.

The library looks for ambiguous value representations in each item of a sequence, and again in all
that lies below it: of a report, whose items lie ten deep, that is most of the time of writing it.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from struct import pack
from typing import Final, TypeAlias

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import (
    correct_ambiguous_vr_element,
    write_data_element,
    write_sequence_item,
)
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import AMBIGUOUS_VR

_CHARACTER_SET: Final = BaseTag(0x00080005)
_ITEM: Final = bytes.fromhex("FEFF00E0")
_SEQUENCE: Final = "SQ"

_Known: TypeAlias = MutableMapping[tuple[int, str, str], bytes]
"""Elements that were encoded already, by tag, value representation and value."""


class _AmbiguousError(Exception):
    """An element's value representation follows from other elements, which may lie above it."""


def with_encoded_sequences(dataset: Dataset) -> Dataset:
    """Return an object that the library writes as it would write this one, in less time.

    Its sequences are bytes in explicit VR little endian, each attribute encoded by the library,
    and all else is shared with the object. An object that has an ambiguous value representation
    within a sequence is returned as it is.

    Parameters
    ----------
    dataset : without raw elements at its root, which nothing has but what was read from a file

    References
    ----------
    PS3.5 7.1.2, 7.5 (sequences and items of explicit length).
    """
    elements = _in_order(dataset)
    if elements is None:
        return dataset
    is_stated = _CHARACTER_SET in dataset
    encodings = (
        convert_encodings(dataset[_CHARACTER_SET].value) if is_stated else [default_encoding]
    )
    known: _Known = {}
    for element in elements:
        correct_ambiguous_vr_element(element, dataset, is_little_endian=True)
    try:
        written = {element.tag: _encoded_at_root(element, encodings, known) for element in elements}
    except _AmbiguousError:
        return dataset
    copied = Dataset(written)
    copied.file_meta = dataset.file_meta
    # So the library takes bytes as they are.
    copied.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=encodings if is_stated else default_encoding,
    )
    return copied


def _encoded_at_root(
    element: DataElement, encodings: list[str], known: _Known
) -> DataElement | RawDataElement:
    if element.VR != _SEQUENCE or element.is_undefined_length:
        return element
    value = b"".join(_items(element, encodings, known))
    return RawDataElement(element.tag, _SEQUENCE, len(value), value, 0, False, True)


def _items(sequence: DataElement, encodings: list[str], known: _Known) -> Iterator[bytes]:
    for item in sequence.value:
        elements = _in_order(item) if _is_plain(item) else None
        if elements is None:
            _require_unambiguous(item)
            buffer = _buffer()
            write_sequence_item(buffer, item, encodings)
            yield buffer.getvalue()
        else:
            content = b"".join(_contents(elements, encodings, known))
            yield _ITEM
            yield pack("<L", len(content))
            yield content


def _contents(
    elements: Iterable[DataElement], encodings: list[str], known: _Known
) -> Iterator[bytes]:
    for element in elements:
        if element.VR == _SEQUENCE and not element.is_undefined_length:
            content = b"".join(_items(element, encodings, known))
            yield pack("<HH4sL", element.tag >> 16, element.tag & 0xFFFF, b"SQ", len(content))
            yield content
            continue
        value = element.value
        # Of these types equal values are written alike; a number may have a text of its own.
        if type(value) is not str and type(value) is not UID:
            yield _encoded(element, encodings)
            continue
        key = (int(element.tag), element.VR, value)
        encoded = known.get(key)
        if encoded is None:
            known[key] = encoded = _encoded(element, encodings)
        yield encoded


def _is_plain(item: Dataset) -> bool:
    """Tell whether an item has no encoding of its own: it was not read from a file."""
    return (
        item.original_encoding == (None, None)
        and not item.is_undefined_length_sequence_item
        and _CHARACTER_SET not in item
    )


def _in_order(dataset: Dataset) -> list[DataElement] | None:
    """Return the elements by their tags; None if one is raw, or a length that is left out."""
    # Tags themselves are compared in Python.
    by_tag = {}
    for tag, element in dataset.items():
        if isinstance(element, RawDataElement) or not tag & 0xFFFF:
            return None
        by_tag[int(tag)] = element
    return [by_tag[tag] for tag in sorted(by_tag)]


def _encoded(element: DataElement, encodings: list[str]) -> bytes:
    if element.VR in AMBIGUOUS_VR:
        raise _AmbiguousError
    if element.VR == _SEQUENCE:
        _require_unambiguous(*element.value)
    buffer = _buffer()
    write_data_element(buffer, element, encodings)
    return buffer.getvalue()


def _require_unambiguous(*items: Dataset) -> None:
    for element in _all_elements(items):
        if element.VR in AMBIGUOUS_VR:
            raise _AmbiguousError


def _all_elements(items: Iterable[Dataset]) -> Iterator[DataElement]:
    for item in items:
        for element in item:
            yield element
            if element.VR == _SEQUENCE:
                yield from _all_elements(element.value)


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    return buffer
