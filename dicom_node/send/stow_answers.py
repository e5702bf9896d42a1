"""What the answers of a DICOMweb archive, in JSON or XML, say about single objects."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, fromstring

_REFERENCED_SOP_SEQUENCE: Final = "00081199"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_OTHER_FAILURES_SEQUENCE: Final = "0008119A"
_SOP_INSTANCE_UID: Final = "00080018"
_STUDY_INSTANCE_UID: Final = "0020000D"
_REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"

_UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    ParseError,
    RecursionError,
)
"""Errors of documents that are not what they claim.

OverflowError: a number such as 1e400; RecursionError: brackets nested too deeply.
"""

Attributes = Mapping[str, Any]
"""A data set of the DICOM JSON model (PS3.18 F.2): tag to VR and values."""


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What a Store Instances Response says (PS3.18 I.2).

    Attributes
    ----------
    stored : SOP Instance UIDs
    failed : SOP Instance UID to Failure Reason (0008,1197), 0 where none is given
    unidentified : Failure Reasons of objects of which the archive gives no UID
    """

    stored: frozenset[str] = frozenset()
    failed: Mapping[str, int] = field(default_factory=dict)
    unidentified: tuple[int, ...] = ()

    @property
    def says_something(self) -> bool:
        """Whether it is about any object: any other document in JSON reads as one without."""
        return bool(self.stored or self.failed or self.unidentified)

    def reason_for(self, sop_instance_uid: str) -> int | None:
        """Return the Failure Reason of the only object of a request; None if it did not fail."""
        if sop_instance_uid in self.failed:
            return self.failed[sop_instance_uid]
        if sop_instance_uid in self.stored or not self.unidentified:
            return None
        return self.unidentified[0]


def read_store_answer(content: bytes, media_type: str) -> StoreAnswer | None:
    """Read an answer to STOW-RS; None if it is empty or no such document."""
    try:
        documents = list(_datasets(content, media_type))
        referenced = [_items(one, _REFERENCED_SOP_SEQUENCE) for one in documents]
        refused = [_items(one, _FAILED_SOP_SEQUENCE) for one in documents]
        others = [_items(one, _OTHER_FAILURES_SEQUENCE) for one in documents]
        return StoreAnswer(
            stored=frozenset(_uid(item) for items in referenced for item in items),
            failed={_uid(item): _reason(item) for items in refused for item in items},
            unidentified=tuple(_reason(item) for items in others for item in items),
        )
    except _UNREADABLE:
        return None


def lists_instance(content: bytes, media_type: str, sop_instance_uid: str) -> bool:
    """Return whether an answer to QIDO-RS, or metadata by WADO-RS, is about this instance."""
    return sop_instance_uid in (instances_by_study(content, media_type) or ())


def instances_by_study(content: bytes, media_type: str) -> dict[str, str] | None:
    """Return the instances of an answer to QIDO-RS, each with its study, empty if it names none.

    Returns None if it is no such answer, as where one of its data sets is of no instance.
    """
    try:
        found = {
            str(_first(one, _SOP_INSTANCE_UID)): str(_first(one, _STUDY_INSTANCE_UID))
            for one in _datasets(content, media_type)
        }
    except _UNREADABLE:
        return None
    return None if "" in found else found


def _datasets(content: bytes, media_type: str) -> Iterator[Attributes]:
    """Yield the data sets of a document: one, or an array of them as some archives send."""
    if media_type.endswith("xml"):
        yield _from_xml(content)
        return
    document = json.loads(content)
    for one in document if isinstance(document, list) else [document]:
        if not isinstance(one, dict):
            raise TypeError("no data set")
        yield one


def _items(dataset: Attributes, tag: str) -> list[Attributes]:
    # Orthanc sends the sequence of failures empty when nothing failed.
    return list(dataset.get(tag, {}).get("Value") or [])


def _first(dataset: Attributes, tag: str) -> Any:
    return (dataset.get(tag, {}).get("Value") or [""])[0]


def _uid(item: Attributes) -> str:
    return str(_first(item, _REFERENCED_SOP_INSTANCE_UID))


def _reason(item: Attributes) -> int:
    return int(_first(item, _FAILURE_REASON) or 0) & 0xFFFF


def _from_xml(content: bytes) -> Attributes:
    """Return a Native DICOM Model (PS3.19 A.1) in the form of the JSON model."""
    # A document type would let the document define entities, and what they expand to.
    if b"<!DOCTYPE" in content:
        raise ValueError("a document type is not part of the model")
    return _attributes(fromstring(content))  # noqa: S314  of bounded size, by an expat since 2021


def _attributes(parent: Element) -> Attributes:
    return {
        attribute.attrib["tag"]: {
            "Value": [_value(child) for child in attribute if _name(child) in {"Item", "Value"}]
        }
        for attribute in parent
        if _name(attribute) == "DicomAttribute"
    }


def _value(element: Element) -> Any:
    return _attributes(element) if _name(element) == "Item" else (element.text or "").strip()


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]
