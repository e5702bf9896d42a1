"""Reads results out of HL7 messages with the parser of another project (hl7v2-fhir-bridge)."""

from itertools import groupby

from told_results import SIDES, Score, ToldRegion, ToldScore
from v2fhir.hl7.parser import Message, Segment, parse_bytes

_OF_A_FINDING = ("121071", "111030")


def parsed(content: bytes) -> Message:
    """Parse a message; its declared character set decides how its bytes are read."""
    return parse_bytes(content)


def grouped(message: Message) -> list[list[Segment]]:
    """Return the OBX segments by their sub-ID, without those that have none."""
    numbered = [one for one in message.all("OBX") if one.get(4)]
    return [list(found) for _, found in groupby(numbered, key=lambda one: one.get(4))]


def values(group: list[Segment], code: str) -> list[str]:
    """Return the first component of each value of one concept."""
    return [one.get(5) or "" for one in group if one.get(3) == code]


def regions_of_message(message: Message) -> list[ToldRegion]:
    """Return the findings that have an outline."""
    told = []
    for group in grouped(message):
        outlines = [one for one in group if one.get(3) == "111030"]
        if not outlines:
            continue
        (outline,) = outlines
        assert outline.get(2) == "NA"
        told.append(
            ToldRegion(
                tracking_uid=values(group, "112040")[0],
                finding=values(group, "121071")[0],
                side=_side(group),
                scores=_scores(group),
                image=values(group, "121112")[0],
                outline=tuple(
                    float(point.get(part) or "") for point in outline.reps(5) for part in (1, 2)
                ),
            )
        )
    return sorted(told)


def scores_of_message(message: Message) -> list[ToldScore]:
    """Return what has a score and no outline."""
    told = []
    for group in grouped(message):
        if not _scores(group) or values(group, "111030"):
            continue
        told.append(
            ToldScore(
                concept=group[0].get(3) or "",
                value=group[0].get(5) or "",
                side=_side(group),
                scores=_scores(group),
                images=tuple(sorted(values(group, "121112"))),
            )
        )
    return sorted(told)


def _side(group: list[Segment]) -> str:
    stated = values(group, "272741003")
    return SIDES[stated[0]] if stated else ""


def _scores(group: list[Segment]) -> tuple[Score, ...]:
    return tuple(
        (one.get(3) or "", float(one.get(5) or ""), one.get(6) or "")
        for one in group
        if one.get(2) == "NM" and one.get(6) == "%"
    )
