"""Values of attributes in a form in which two copies of an image can be compared."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

WITHOUT_MEANING: Final = frozenset(
    {
        # Where and how an archive keeps the object, and who handed it on
        "SpecificCharacterSet",
        "InstanceCoercionDateTime",
        "InstanceOriginStatus",
        "QueryRetrieveLevel",
        "QueryRetrieveView",
        "RetrieveAETitle",
        "RetrieveURL",
        "RetrieveURI",
        "RetrieveLocationUID",
        "InstanceAvailability",
        "AvailableTransferSyntaxUID",
        "StorageMediaFileSetID",
        "StorageMediaFileSetUID",
        "ModalitiesInStudy",
        "SOPClassesInStudy",
        "AnatomicRegionsInStudyCodeSequence",
        "StudyStatusID",
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "NumberOfSeriesRelatedInstances",
        "ContributingEquipmentSequence",
        "OriginalAttributesSequence",
        "MACParametersSequence",
        "DigitalSignaturesSequence",
        "DataSetTrailingPadding",
        # How the pixels are coded: their values are compared instead
        "BitsAllocated",
        "HighBit",
        "PlanarConfiguration",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
        "PixelDataProviderURL",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
        "PixelData",
        "IconImageSequence",
        # Words by which a person chooses a window or a table, which show no pixel otherwise
        "LUTExplanation",
        "WindowCenterWidthExplanation",
    }
)
"""Attributes that may differ between two copies of one image."""

_MEANT_BY_ABSENCE: Final[Mapping[str, list[float] | list[str]]] = {
    "LossyImageCompression": ["00"],
    "NumberOfFrames": [1.0],
    "PatientIdentityRemoved": ["NO"],
    "PixelAspectRatio": [1.0, 1.0],
    "PixelRepresentation": [0.0],
    "PresentationLUTShape": ["IDENTITY"],
    "RescaleIntercept": [0.0],
    "RescaleSlope": [1.0],
    "SamplesPerPixel": [1.0],
    "VOILUTFunction": ["LINEAR"],
}
"""Values which archives state where a sender did not, or leave out: both mean the same."""

_REALS: Final = frozenset({"DS", "IS", "FL", "FD", "UL", "SL"})
_WORDS: Final = frozenset({"US", "SS"})
_TRAILING_ZEROS: Final = re.compile(r"(?:\.0*|(\.\d*[1-9])0*)(?=[+-]|$)")
_TIMES: Final = frozenset({"TM", "DT"})
_BYTES_OF: Final = {"OW": 2, "OL": 4, "OF": 4, "OV": 8, "OD": 8}


def plain_of(dataset: Dataset, tag: BaseTag) -> Any:
    """Return the value of an attribute in a form that can be compared, however it is coded.

    Returns
    -------
    Any
        None if it is empty, or says what its absence means as well.

    References
    ----------
    PS3.5 6.2 (value representations), 7.3 (byte order) and A.1 (Implicit VR, in which an archive
    chooses among the value representations that an attribute may have).
    """
    try:
        element = dataset[tag]
    except KeyError:
        return None
    except Exception:  # noqa: BLE001  a damaged value can raise any error: its bytes are compared
        return dataset.get_item(tag).value
    is_little_endian = dataset.original_encoding[1]
    value = _plain(element, is_big_endian=is_little_endian is False)
    return None if value == _MEANT_BY_ABSENCE.get(element.keyword) else value


def _plain(element: DataElement, *, is_big_endian: bool) -> Any:
    value = element.value
    if element.VR == "SQ":
        return [_plain_item(item) for item in value] or None
    if value is None or isinstance(value, bytes):
        size = _BYTES_OF.get(element.VR, 1) if is_big_endian else 1
        return _swapped(value or b"", size).rstrip(b"\0") or None
    values = value if isinstance(value, (MultiValue, list)) else [value]
    if element.VR in _WORDS:
        return _plain_words(element.keyword, values)
    texts = [str(value).strip(" \0").rstrip("^=") for value in values]
    return [_plain_text(text, element.VR) for text in texts] if any(texts) else None


def _plain_words(keyword: str, values: Sequence[int]) -> list[int] | bytes | None:
    # Where both are allowed, US and SS are told apart badly, and the pixels say how to read.
    words = [value & 0xFFFF for value in values]
    if keyword == "LUTData":
        # The same words are OW in another copy (PS3.3 C.11.1.1.1).
        return np.array(words, "<u2").tobytes().rstrip(b"\0") or None
    return words or None


def _plain_item(item: Dataset) -> dict[int, Any]:
    found = {
        int(tag): plain_of(item, tag)
        for tag in item.keys()  # noqa: SIM118
        if not tag.is_private and keyword_for_tag(tag) not in WITHOUT_MEANING
    }
    return {tag: value for tag, value in found.items() if value is not None}


def _swapped(content: bytes, size: int) -> bytes:
    """Return numbers of some bytes each in little endian."""
    whole = len(content) // size * size
    return np.frombuffer(content[:whole], f"u{size}").byteswap().tobytes() + content[whole:]


def _plain_text(text: str, vr: str) -> float | str:
    if vr in _REALS:
        try:
            return float(text)
        except ValueError:
            return text
    # Older equipment writes points in dates and colons in times; a fraction may end in zeros.
    if vr == "DA":
        return text.replace(".", "")
    if vr in _TIMES:
        return _TRAILING_ZEROS.sub(r"\1", text.replace(":", ""))
    return text
