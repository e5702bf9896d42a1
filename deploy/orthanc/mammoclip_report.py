"""Reads what a report of the node says in sum, from Orthanc's JSON of its attributes."""

from typing import Any

SUMMARY = "111017"
"""Concept of the CAD processing and findings summary (DCM); the first one is of the study."""

COMMENT = "121106"

_DEEPEST = 8
_MOST_REMARKS = 10
_LONGEST_REMARK = 300


def summary_in(item: dict[str, Any], depth: int = 0) -> tuple[str | None, str | None]:
    """Return code and meaning of the first findings summary in a report; None if it has none."""
    for name in item.get("ConceptNameCodeSequence") or []:
        if name.get("CodeValue") == SUMMARY:
            for value in item.get("ConceptCodeSequence") or []:
                return value.get("CodeValue"), value.get("CodeMeaning")
    for child in (item.get("ContentSequence") or []) if depth < _DEEPEST else []:
        code, meaning = summary_in(child, depth + 1)
        if code is not None:
            return code, meaning
    return None, None


def remarks_in(item: dict[str, Any]) -> list[str]:
    """Return the comments of a report, the outer ones first."""
    texts: list[str] = []
    waiting = [item]
    while waiting and len(texts) < _MOST_REMARKS:
        one = waiting.pop(0)
        names = [name.get("CodeValue") for name in one.get("ConceptNameCodeSequence") or []]
        if COMMENT in names and one.get("TextValue"):
            texts.append(str(one["TextValue"])[:_LONGEST_REMARK])
        waiting.extend(one.get("ContentSequence") or [])
    return texts
