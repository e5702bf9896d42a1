"""What is known of a study or an answer when rules decide on it, as the values of conditions."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final

from dicom_node.facts.priority import Priority
from dicom_node.routing.attributes import (
    ADDRESS,
    AGE,
    CALLED,
    OF_FILES,
    AttributeValue,
    empty,
    kind_of,
)
from dicom_node.routing.conditions import Kind, Value

EACH: Final = "each."
"""Before a keyword: its values of all images."""

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

OF_STUDIES: Final[Mapping[str, tuple[Kind, str]]] = {
    "sender": (Kind.TEXT, "calling AE title of the first object"),
    "called": (Kind.TEXT, "AE title by which the sender called the node"),
    "address": (Kind.TEXT, "IP address of the sender; '' of what was fetched or put from a disk"),
    "age": (Kind.NUMBER, "age of the patient in whole years, by the first image that tells it"),
    "images": (Kind.COUNT, "number of images to analyse"),
    "views": (Kind.TEXTS, "laterality and view of each, as 'LMLO', each once"),
    "laterality": (Kind.TEXT, "'L', 'R', or 'B' for both breasts"),
    "complete": (Kind.CLAIM, "whether CC and MLO of both breasts are there"),
    "priority": (Kind.TEXT, "'stat', 'routine' or 'off-peak', as images or sender state it"),
    "time": (Kind.TEXT, "time of day when the study is complete, as '08:30', at the site"),
    "weekday": (Kind.TEXT, "'Mon' to 'Sun', at the site"),
}
"""Names of what is known of a study, with type and meaning."""

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "laterality": ("", "L", "R", "B"),
    "priority": tuple(priority.word for priority in Priority),
    "weekday": _WEEKDAYS,
}
"""All values of those of them that have few."""

OF_ANSWERS: Final[Mapping[str, tuple[Kind, str]]] = {
    "rule": (Kind.TEXT, "name of the rule that took the study"),
    "bundle": (Kind.TEXT, "name of the bundle, as in its manifest"),
    "score": (Kind.SCORES, "highest score of each finding, 0 to 1, as score['mass']"),
    "flagged": (Kind.TEXTS, "names of the findings above their threshold"),
    "analysed": (Kind.COUNT, "number of images with an answer"),
    "incomplete": (Kind.CLAIM, "whether an image has none, or one of the four standard views does"),
}
"""Names of what is known of an answer besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedImage:
    """What is known of one image that is to be analysed.

    Attributes
    ----------
    attributes : by keyword, and what else its file tells; as far as rules ask for them
    """

    sop_instance_uid: str
    laterality: str
    view_position: str
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """What is known of a study.

    Attributes
    ----------
    images : those to analyse, in any order
    is_complete : whether the four standard views are among them
    at : aware
    """

    sender: str
    images: Sequence[RoutedImage]
    is_complete: bool
    priority: Priority
    at: datetime

    def values(self, names: Collection[str], zone: tzinfo | None) -> dict[str, Value]:
        """Return the values of names in conditions.

        Parameters
        ----------
        zone : of the site; None for that of the machine
        """
        # In an order of their own, whichever came first: a study is routed alike when it is sent
        # again by another way.
        images = sorted(self.images, key=lambda image: image.sop_instance_uid)
        local = self.at.astimezone(zone)
        sides = {image.laterality for image in images} - {""}
        known: dict[str, Value] = {
            "sender": self.sender,
            "called": _first_text(images, CALLED),
            "address": _first_text(images, ADDRESS),
            "age": _age(images),
            "images": len(images),
            "views": sorted({f"{one.laterality}{one.view_position}" for one in images}),
            "laterality": "B" if len(sides) > 1 else next(iter(sides), ""),
            "complete": self.is_complete,
            "priority": self.priority.word,
            "time": f"{local:%H:%M}",
            "weekday": _WEEKDAYS[local.weekday()],
        }
        return {name: known[name] if name in known else _of(images, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """What is known of an answer.

    Attributes
    ----------
    rule : that took the study
    scores : highest score of each finding
    findings : names of all findings that rules know
    """

    rule: str
    bundle: str
    scores: Mapping[str, float]
    flagged: Collection[str]
    analysed: int
    is_incomplete: bool

    def values(self, findings: Iterable[str]) -> dict[str, Value]:
        """Return the values of names in conditions.

        Parameters
        ----------
        findings : names that conditions may ask for; a number that compares with none if absent
        """
        return {
            "rule": self.rule,
            "bundle": self.bundle,
            "score": {**dict.fromkeys(findings, math.nan), **self.scores},
            "flagged": sorted(self.flagged),
            "analysed": self.analysed,
            "incomplete": self.is_incomplete,
        }


def attributes_for(names: Iterable[str]) -> frozenset[str]:
    """Return what must be read of each image's header for names in conditions."""
    found = {name.removeprefix(EACH) for name in names}
    return frozenset({name for name in found if kind_of(name) is not None} | (OF_FILES & found))


def _first_text(images: Sequence[RoutedImage], name: str) -> str:
    told = (image.attributes.get(name, "") for image in images)
    return next((one for one in told if isinstance(one, str) and one), "")


def _age(images: Sequence[RoutedImage]) -> float:
    told = (image.attributes.get(AGE, math.nan) for image in images)
    return next((one for one in told if isinstance(one, float) and not math.isnan(one)), math.nan)


def _of(images: Sequence[RoutedImage], name: str) -> Value:
    keyword = name.removeprefix(EACH)
    kind = kind_of(keyword)
    assert kind is not None, "rules were checked"
    values = [image.attributes.get(keyword, empty(kind)) for image in images]
    if not name.startswith(EACH):
        return values[0] if values else empty(kind)
    flat: list[str] = []
    numbers: list[float] = []
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            (flat if isinstance(one, str) else numbers).append(one)  # type: ignore[arg-type]
    return flat if kind in {Kind.TEXT, Kind.TEXTS} else numbers
