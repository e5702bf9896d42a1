"""Reads what a reader's structured report says of results (IHE AI Result Assessment, AIRA).

The templates of readers' systems differ, and use codes of their own: what counts is where a coded
value that is a decision stands, and what the items around it speak of.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset

SR_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.88.22",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.88.34",
    "1.2.840.10008.5.1.4.1.1.88.35",
)
"""Basic Text, Enhanced, Comprehensive, Comprehensive 3D and Extensible SR Storage."""

_TRACKING_ID: Final = "112039"
_TRACKING_UID: Final = "112040"
_PERSON_NAME: Final = "121008"
_COMMENT: Final = "121106"
_LATERALITY: Final = "272741003"
_SIDES: Final = {"7771000": "L", "24028007": "R", "51440002": "B"}

_DEEPEST: Final = 32
_MOST: Final = 10_000
"""Assessments of one report; a reader gives a few."""

_LONGEST: Final = 64
_LONGEST_COMMENT: Final = 1024


class Decision(StrEnum):
    """What a reader makes of a result, or what turned out to be true."""

    ACCEPTED = "accepted"
    MODIFIED = "modified"
    REJECTED = "rejected"
    POSITIVE = "positive"
    NEGATIVE = "negative"


_WORDS: Final = (
    # The longer ones first: "disagree" holds "agree", and "not accepted" holds "accept".
    (
        Decision.REJECTED,
        (
            *("not accept", "not agree", "not confirm"),
            *("reject", "disagree", "dismiss", "false positive"),
        ),
    ),
    (Decision.MODIFIED, ("modif", "edited", "changed", "amended")),
    (Decision.ACCEPTED, ("accept", "agree", "confirm", "true positive")),
)
"""What meanings of codes say in words, where the settings name no code."""

_NOTHING_DONE: Final = re.compile(
    r"\bun(?:changed|modified|edited|confirmed)\b|\b(?:no|not|without) (?:change|modif|edit)\w*"
)
"""What holds the word of a decision that it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """One decision, and what it is about.

    Attributes
    ----------
    tracking_uid : of the finding; empty if the report names none
    sop_instance_uid : of the result object or image; empty if the report names none
    laterality : ``L``, ``R``, ``B``, or empty
    comment : of the reader, as written; empty if there is none
    """

    decision: Decision
    code: str
    scheme: str
    meaning: str
    tracking_uid: str = ""
    sop_instance_uid: str = ""
    laterality: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentReport:
    """What one report says.

    Attributes
    ----------
    reader : name of the observer, or of who verified the report; empty if neither is named
    assessed_at : ``YYYYMMDDHHMMSS`` and the offset from UTC if one is given; empty if unknown
    references : SOP Instance UIDs of everything that it refers to
    """

    sop_instance_uid: str
    reader: str
    assessed_at: str
    references: tuple[str, ...]
    assessed: tuple[Assessed, ...]


@dataclass(frozen=True, slots=True)
class _About:
    tracking_uid: str = ""
    sop_instance_uid: str = ""
    laterality: str = ""
    comment: str = ""


def read_assessments(file: Path, decisions: Mapping[str, Decision]) -> AssessmentReport:
    """Read a report; the caller holds memory and time in bounds.

    Parameters
    ----------
    decisions : by ``SCHEME:code``, before what the meaning of a code says

    Raises
    ------
    ValueError
        It has more levels or decisions than any report.
    """
    dataset = pydicom.dcmread(file)
    date, time = str(dataset.get("ContentDate") or ""), str(dataset.get("ContentTime") or "")
    verified = next(iter(dataset.get("VerifyingObserverSequence") or ()), Dataset())
    zone = str(dataset.get("TimezoneOffsetFromUTC") or "")
    return AssessmentReport(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        reader=(_observer(dataset) or str(verified.get("VerifyingObserverName") or ""))[:_LONGEST],
        assessed_at=f"{date}{time.partition('.')[0]:0<6}{zone}" if date else "",
        references=tuple(dict.fromkeys(_references(dataset))),
        assessed=tuple(_bounded(_walk(dataset, _About(), decisions, 0))),
    )


def decision_of(
    code: str, scheme: str, meaning: str, decisions: Mapping[str, Decision]
) -> Decision | None:
    """Return what a coded value decides; None for one that is about something else."""
    known = decisions.get(f"{scheme}:{code}")
    if known is not None:
        return known
    words = _NOTHING_DONE.sub("", meaning.lower())
    return next((one for one, parts in _WORDS if any(part in words for part in parts)), None)


def _bounded(found: Iterator[Assessed]) -> Iterator[Assessed]:
    for number, one in enumerate(found):
        if number >= _MOST:
            raise ValueError(f"more than {_MOST} decisions")
        yield one


def _walk(
    item: Dataset, about: _About, decisions: Mapping[str, Decision], depth: int
) -> Iterator[Assessed]:
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} levels")
    children = list(item.get("ContentSequence") or ())
    about = _about(children, about)
    for child in children:
        if child.get("ValueType") == "CODE" and child.get("ConceptCodeSequence"):
            code, scheme, meaning = _code(child.ConceptCodeSequence[0])
            decision = decision_of(code, scheme, meaning, decisions)
            if decision is not None:
                # What stands below the decision is nearer to it than what stands beside it.
                below = list(child.get("ContentSequence") or ())
                nearest = _about(below, about)
                texts = [str(one.get("TextValue") or "") for one in below if _is_text(one)]
                yield Assessed(
                    decision=decision,
                    code=code[:_LONGEST],
                    scheme=scheme[:_LONGEST],
                    meaning=meaning[:_LONGEST],
                    tracking_uid=nearest.tracking_uid,
                    sop_instance_uid=nearest.sop_instance_uid,
                    laterality=nearest.laterality,
                    comment=(" ".join(filter(None, texts)) or nearest.comment)[:_LONGEST_COMMENT],
                )
                continue
        yield from _walk(child, about, decisions, depth + 1)


def _about(children: list[Dataset], about: _About) -> _About:
    """Return what items speak of: each says more than what stands above them."""
    for child in children:
        concept = _concept(child)
        if concept == _TRACKING_UID and child.get("UID"):
            about = replace(about, tracking_uid=str(child.UID)[:_LONGEST])
        elif concept == _LATERALITY and child.get("ConceptCodeSequence"):
            side = _SIDES.get(_code(child.ConceptCodeSequence[0])[0], "")
            about = replace(about, laterality=side)
        elif concept == _COMMENT and _is_text(child):
            about = replace(about, comment=str(child.get("TextValue") or ""))
        elif child.get("ValueType") in {"IMAGE", "COMPOSITE"}:
            for one in child.get("ReferencedSOPSequence") or ():
                uid = str(one.get("ReferencedSOPInstanceUID") or "")[:_LONGEST]
                about = replace(about, sop_instance_uid=uid)
        # A side stands with the site of a finding.
        if child.get("ValueType") == "CODE" and concept == "363698007":
            about = _about(list(child.get("ContentSequence") or ()), about)
    return about


def _is_text(item: Dataset) -> bool:
    return bool(item.get("ValueType") == "TEXT" and _concept(item) != _TRACKING_ID)


def _observer(dataset: Dataset) -> str:
    for child in dataset.get("ContentSequence") or ():
        if child.get("ValueType") == "PNAME" and _concept(child) == _PERSON_NAME:
            return str(child.get("PersonName") or "")
    return ""


def _references(dataset: Dataset) -> Iterator[str]:
    for keyword in (
        "CurrentRequestedProcedureEvidenceSequence",
        "PertinentOtherEvidenceSequence",
        "PredecessorDocumentsSequence",
    ):
        for study in dataset.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                for one in series.get("ReferencedSOPSequence") or ():
                    yield str(one.get("ReferencedSOPInstanceUID") or "")


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return _code(names[0])[0] if names else ""


def _code(item: Dataset) -> tuple[str, str, str]:
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    scheme, meaning = item.get("CodingSchemeDesignator"), item.get("CodeMeaning")
    return str(value or ""), str(scheme or ""), str(meaning or "")
