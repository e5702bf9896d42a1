"""What each kind of object tells of each region, read by pydicom alone and nothing of ours."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from sr_reading import child, children, concept, is_reference, target_of, value_code, walk

_SIDES = {
    "7771000": "L",
    "24028007": "R",
    "51440002": "B",
    "80248007": "L",
    "73056007": "R",
    "63762007": "B",
}
"""CID 244 and CID 6022."""

_LABEL = re.compile(
    r"(?P<lesion>\d+) (?P<name>.+?)(?P<below>, below threshold)?, RESEARCH USE ONLY"
)
_SEGMENT = re.compile(
    r"(?P<lesion>\d+) AI (detector box|attention region): "
    r"(?P<name>.+?)(?P<below>, below threshold)?"
)
_GRAPHIC = re.compile(
    r"(?P<lesion>\d+) AI (?P<name>.+), (calibrated )?score (?P<score>[01]\.\d{2,})"
    r"(?P<below>, below threshold)?"
)
_SCORE = re.compile(r"(?:calibrated )?score ([01]\.\d{2,})")

_NUMBERS = r"(?<![\d.])\d+(-\d+)?(, \d+(-\d+)?)*"

_FRACTION = 0.006
"""Scores in words have two decimals."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One region as an object tells it; None is what that kind of object does not say."""

    instance: str
    frame: int
    above: bool
    score: float
    side: str | None = None
    name: str | None = None
    lesion: int | None = None


def told_by_measurement_report(report: Dataset) -> dict[str, Told]:
    """Return the regions by Tracking UID."""
    told = {}
    for _, group in walk(report):
        if concept(group) != "125007":
            continue
        label = next(
            found
            for item in group.ContentSequence
            if item.ValueType == "NUM"
            and (found := _LABEL.fullmatch(item.ConceptNameCodeSequence[0].CodeMeaning))
        )
        scores = {
            float(item.MeasuredValueSequence[0].NumericValue)
            for item in group.ContentSequence
            if item.ValueType == "NUM"
        }
        (score,) = scores  # the label repeats it
        number = child(group, "lesion_number").ConceptCodeSequence[0]
        assert number.CodeMeaning == label["lesion"]
        (image,) = child(group, "111030").ContentSequence
        instance, frame = _image_of(image)
        intents = [value_code(item) for item in children(group, "111056")]
        is_below = label["below"] is not None
        assert intents == (["111151"] if is_below else [])
        told[child(group, "112040").UID] = Told(
            instance=instance,
            frame=frame,
            above=not is_below,
            score=score / 100.0,
            side=_side_in(child(group, "363698007")),
            name=label["name"],
            lesion=int(label["lesion"]),
        )
    return told


def told_by_cad_report(report: Dataset) -> dict[str, Told]:
    """Return the marks by Tracking UID."""
    told = {}
    for _, mark in walk(report):
        if concept(mark) != "111059" or value_code(mark) == "129715009":
            continue
        center = child(mark, "111010")
        (reference,) = (item for item in center.ContentSequence if is_reference(item))
        image = target_of(report, reference)
        instance, frame = _image_of(image)
        sides = [_SIDES[value_code(item)] for item in children(image, "111027")]
        certainty = child(mark, "111012").MeasuredValueSequence[0].NumericValue
        told[child(mark, "112040").UID] = Told(
            instance=instance,
            frame=frame,
            above=value_code(child(mark, "111056")) == "111150",
            score=float(certainty) / 100.0,
            side=sides[0] if sides else "",
        )
    return told


def told_by_segmentation(segmentation: Dataset) -> dict[str, Told]:
    """Return the segments by Tracking UID."""
    places = {}
    (shared,) = segmentation.SharedFunctionalGroupsSequence
    for own in segmentation.PerFrameFunctionalGroupsSequence:
        groups = Dataset()
        groups.update(shared)
        groups.update(own)
        (segment,) = groups.SegmentIdentificationSequence
        (derivation,) = groups.DerivationImageSequence
        (source,) = derivation.SourceImageSequence
        places[segment.ReferencedSegmentNumber] = _instance_in(source)
    told = {}
    for segment in segmentation.SegmentSequence:
        label = _SEGMENT.fullmatch(segment.SegmentLabel)
        assert label is not None, segment.SegmentLabel
        score = _SCORE.search(segment.SegmentDescription)
        assert score is not None, segment.SegmentDescription
        assert ("below threshold" in segment.SegmentDescription) is (label["below"] is not None)
        instance, frame = places[segment.SegmentNumber]
        modifiers = segment.AnatomicRegionSequence[0].get("AnatomicRegionModifierSequence", [])
        told[segment.TrackingUID] = Told(
            instance=instance,
            frame=frame,
            above=label["below"] is None,
            score=float(score[1]),
            side=_SIDES[modifiers[0].CodeValue] if modifiers else "",
            name=label["name"],
            lesion=int(label["lesion"]),
        )
    return told


def told_by_presentation_state(state: Dataset) -> dict[str, Told]:
    """Return the outlines by Tracking UID, each with the text that stands at its place."""
    told = {}
    for annotation in state.GraphicAnnotationSequence:
        instance, frame = _instance_in(annotation.ReferencedImageSequence[0])
        texts = [
            found
            for text in annotation.TextObjectSequence
            if (found := _GRAPHIC.fullmatch(text.UnformattedTextValue))
        ]
        for graphic, text in zip(
            annotation.get("GraphicObjectSequence", []), texts, strict=bool(texts)
        ):
            told[graphic.TrackingUID] = Told(
                instance=instance,
                frame=frame,
                above=text["below"] is None,
                score=float(text["score"]),
                name=text["name"],
                lesion=int(text["lesion"]),
            )
    return told


def differences(one: Told, other: Told) -> list[str]:
    """Return in what two objects that speak of one region contradict each other."""
    found = [
        f"{what}: {here!r}, {there!r}"
        for what in ("instance", "frame", "above", "side", "name", "lesion")
        if (here := getattr(one, what)) is not None
        and (there := getattr(other, what)) is not None
        and here != there
    ]
    if abs(one.score - other.score) > _FRACTION:
        found.append(f"score: {one.score}, {other.score}")
    return found


def captions_in(words: str, told: Sequence[Told]) -> Iterator[str]:
    """Yield what a picture or a page, whose words are given, does not tell of regions."""
    words = " ".join(words.split())
    for one in told:
        # A line may name several regions, and those below the threshold by their range.
        score = r"score [01]\.\d\d( to [01]\.\d\d)?"
        below = "" if one.above else ", below threshold"
        line = rf"{_NUMBERS} {re.escape(one.name or '')} (calibrated )?{score}{below}"
        lines = [found[0] for found in re.finditer(line, words)]
        if not any(one.lesion in _numbers_in(line) for line in lines):
            yield f"lesion {one.lesion}, {one.name}{below}"


def _numbers_in(line: str) -> set[int]:
    numbers: set[int] = set()
    for part in re.split(r" [a-zA-Z]", line)[0].split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit():
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def _image_of(item: Dataset) -> tuple[str, int]:
    return _instance_in(item.ReferencedSOPSequence[0])


def _instance_in(item: Dataset) -> tuple[str, int]:
    return str(item.ReferencedSOPInstanceUID), int(item.get("ReferencedFrameNumber") or 1)


def _side_in(site: Dataset) -> str:
    sides = [value_code(item) for item in children(site, "272741003")]
    return _SIDES[sides[0]] if sides else ""
