"""Reads rejection notes: Key Object Selections that take images back (IHE RAD TF-2 4.66)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

REASONS: Final[Mapping[str, str]] = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
"""Titles that reject, by code of DCM (PS3.16 CID 7010)."""

MAY_COME_AGAIN: Final = frozenset({"113039"})
"""Codes that say of images that they were deleted and not that they were wrong: one that is sent
after the note counts again (IHE RAD TF-2 4.66.4.1.3)."""

MOST_IMAGES: Final = 2000
"""Named by a note that is followed; a study of mammograms has some ten."""


def rejection_in(dataset: Dataset, study_instance_uid: str) -> tuple[str, tuple[str, ...]]:
    """Return the code of a rejection note and the objects of its study that it rejects.

    Both the evidence and the content must name an object, where the content names any: some
    writers leave it without references.

    Returns
    -------
    code : empty for anything but a rejection note
    sop_instance_uids : each once; nothing is done by a note with more than `MOST_IMAGES`
    """
    if dataset.get("SOPClassUID") != KeyObjectSelectionDocumentStorage:
        return "", ()
    code = next(
        (
            value
            for item in _items(dataset, "ConceptNameCodeSequence")
            if (value := _text(item, "CodeValue")) in REASONS
            and _text(item, "CodingSchemeDesignator") == "DCM"
        ),
        "",
    )
    if not code:
        return "", ()
    evidence = dict.fromkeys(
        _text(instance, "ReferencedSOPInstanceUID")
        for study in _items(dataset, "CurrentRequestedProcedureEvidenceSequence")
        if _text(study, "StudyInstanceUID") == study_instance_uid
        for series in _items(study, "ReferencedSeriesSequence")
        for instance in _items(series, "ReferencedSOPSequence")
    )
    content = {
        _text(instance, "ReferencedSOPInstanceUID")
        for item in _items(dataset, "ContentSequence")
        for instance in _items(item, "ReferencedSOPSequence")
    }
    named = tuple(uid for uid in evidence if uid and (not content or uid in content))
    return code, named


def _items(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    found: Any = dataset.get(keyword)
    if isinstance(found, Iterable):
        yield from (item for item in found if isinstance(item, Dataset))


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return value.strip() if isinstance(value, str) else ""
