"""What a result says, whichever way it is told: the same facts from a report and from a message.

The report is read by highdicom, the message by a reader of its own kind: neither shares anything
with what writes the messages.
"""

from dataclasses import dataclass

import highdicom as hd
import pytest
from pydicom.dataset import Dataset
from sr_reading import children, concept, walk

TEN_STUDIES = (
    "no finding",
    "one finding",
    "many findings",
    "four views",
    "failed image",
    "left-out image",
    "Japanese name",
    "Chinese name",
    "Cyrillic name",
    "Latin-1 name",
)

SHORT = ("many findings", "four views", "failed image", "Japanese name")

each_study = pytest.mark.parametrize(
    "case",
    [one if one in SHORT else pytest.param(one, marks=pytest.mark.long) for one in TEN_STUDIES],
)
"""Ten studies by `make test-all`, four of them in CI."""

SIDES = {"7771000": "L", "24028007": "R", "51440002": "B"}

Score = tuple[str, float, str]
"""Code of a score, its value, its unit."""


@dataclass(frozen=True, order=True)
class ToldRegion:
    """A finding with a place."""

    tracking_uid: str
    finding: str
    side: str
    scores: tuple[Score, ...]
    image: str
    outline: tuple[float, ...]


@dataclass(frozen=True, order=True)
class ToldScore:
    """A score without a place."""

    concept: str
    value: str
    side: str
    scores: tuple[Score, ...]
    images: tuple[str, ...]


def regions_of_report(report: Dataset) -> list[ToldRegion]:
    """Read the measurement groups of a report with highdicom."""
    content = hd.sr.Comprehensive3DSR.from_dataset(report).content
    told = []
    for group in content.get_planar_roi_measurement_groups():
        (site,) = group.finding_sites
        measured = [
            (one.name.value, float(one.value), one.unit.value) for one in group.get_measurements()
        ]
        told.append(
            ToldRegion(
                tracking_uid=str(group.tracking_uid),
                finding=group.finding_type.value,
                side="" if site.laterality is None else SIDES[site.laterality.value],
                # A label for viewers repeats the score under a name of its own.
                scores=tuple(one for one in measured if not _is_label(one[0])),
                image=str(group.roi.ContentSequence[0].referenced_sop_instance_uid),
                outline=tuple(float(one) for one in group.roi.GraphicData),
            )
        )
    return sorted(told)


def _is_label(code: str) -> bool:
    return code.startswith("R") and len(code) == 16


def scores_of_report(report: Dataset) -> list[ToldScore]:
    """Read the qualitative evaluations of a report that have a score."""
    told = []
    for _, container in walk(report):
        if concept(container) != "C0034375":
            continue
        for item in container.ContentSequence:
            numbers = [one for one in item.get("ContentSequence", []) if one.ValueType == "NUM"]
            if not numbers:
                continue
            coded = item
            if item.ValueType == "TEXT":
                (coded,) = children(item, concept(item))
            (site,) = children(item, "363698007")
            sides = children(site, "272741003")
            told.append(
                ToldScore(
                    concept=concept(item),
                    value=coded.ConceptCodeSequence[0].CodeValue,
                    side=SIDES[sides[0].ConceptCodeSequence[0].CodeValue] if sides else "",
                    scores=tuple(_number(one) for one in numbers),
                    images=tuple(
                        sorted(
                            str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
                            for one in item.ContentSequence
                            if one.ValueType == "IMAGE"
                        )
                    ),
                )
            )
    return sorted(told)


def answers_of_report(report: Dataset) -> list[str | float]:
    """List every value of the measurements and evaluations: code, text, number, UID, point, image.

    The name of what was asked is one of them; a label for viewers is none.
    """
    told: list[str | float] = []
    for container in report.ContentSequence:
        if concept(container) not in {"126010", "C0034375"}:
            continue
        for _, item in walk(container):
            name = concept(item)
            # The narrative becomes part of a longer text, which tests of their own look at.
            if item.ValueType == "CONTAINER" or name == "111412" or _is_label(name):
                continue
            if item.RelationshipType == "CONTAINS" and name != "121106":  # a note, as it is
                told.append(name)
            told += _values(item)
    return told


def _values(item: Dataset) -> list[str | float]:
    match item.ValueType:
        case "CODE":
            return [item.ConceptCodeSequence[0].CodeValue]
        case "NUM":
            return [_number(item)[1], _number(item)[2]]
        case "TEXT":
            return [str(item.TextValue)]
        case "UIDREF":
            return [str(item.UID)]
        case "SCOORD":
            return [item.GraphicType.lower(), *map(float, item.GraphicData)]
        case "IMAGE":
            return [str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)]
    raise AssertionError(item.ValueType)


def _number(item: Dataset) -> Score:
    measured = item.MeasuredValueSequence[0]
    unit = measured.MeasurementUnitsCodeSequence[0]
    return (concept(item), float(measured.NumericValue), unit.CodeValue)
