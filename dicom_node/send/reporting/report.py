"""What a measurement report says, in the form of which every message of results is made."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dicom_node.facts.priority import Priority

OWN_SCHEME: Final = "99MAMMOCLIP"
"""Coding scheme of the node's own codes."""

RESEARCH_MARK: Final = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
UNVERIFIED: Final = "Made by software and not verified by anybody."

_SIDES: Final = {"7771000": "L", "24028007": "R", "51440002": "B"}
"""Laterality (PS3.16 CID 244), as images state it."""

_LABEL: Final = re.compile(r"R[0-9a-f]{15}")
_THRESHOLD: Final = re.compile(r"threshold (\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded concept (PS3.16 8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number with its unit, as text and number alike to the last digit.

    Attributes
    ----------
    unit : UCUM
    """

    concept: Code
    value: float
    unit: Code

    @property
    def is_label(self) -> bool:
        """Whether it only repeats a score under a name that viewers show beside an outline."""
        own = self.concept.scheme == OWN_SCHEME
        return own and _LABEL.fullmatch(self.concept.value) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """The weights behind a score, and how it was reckoned (PS3.16 TID 4019).

    Attributes
    ----------
    parameters : lines in words
    """

    name: str
    version: str
    parameters: tuple[str, ...] = ()
    family: Code | None = None

    @property
    def threshold_percent(self) -> float | None:
        """Return the operating point in the unit of scores, 0 to 100; None if it has none."""
        found = (_THRESHOLD.fullmatch(line) for line in self.parameters)
        return next((round(100 * float(one[1]), 2) for one in found if one), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where something was found (PS3.16 TID 300 and 1501)."""

    structure: Code
    laterality: Code | None = None
    part: Code | None = None

    @property
    def side(self) -> str:
        """Return ``L``, ``R``, ``B``, or nothing if the side is unknown."""
        return "" if self.laterality is None else _SIDES.get(self.laterality.value, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """An image of the study, and frames of it; none stands for the only one."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A region on an image.

    Attributes
    ----------
    graphic_type : ``POLYLINE`` and so on (PS3.3 C.18.6.1.2)
    points : column and row by turns, in pixels of the image
    """

    concept: Code
    graphic_type: str
    points: tuple[float, ...]
    image: ImageReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An answer to a question; in a group one of several.

    Attributes
    ----------
    text : its words where the report gives some instead of the code alone
    tracking_uid, tracking_id : of what is followed over time; else empty
    """

    concept: Code
    value: Code | None = None
    text: str = ""
    tracking_uid: str = ""
    tracking_id: str = ""
    site: Site | None = None
    algorithm: Algorithm | None = None
    measures: tuple[Measure, ...] = ()
    images: tuple[ImageReference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A finding with a place: what it is, how high its score, and where (PS3.16 TID 1410)."""

    tracking_uid: str
    tracking_id: str
    finding: Code
    method: Code | None = None
    site: Site | None = None
    algorithm: Algorithm | None = None
    measures: tuple[Measure, ...] = ()
    answers: tuple[Evaluation, ...] = ()
    outlines: tuple[Outline, ...] = ()

    @property
    def scores(self) -> tuple[Measure, ...]:
        """Return its measures without those that only repeat one for viewers."""
        return tuple(one for one in self.measures if not one.is_label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The patient as the images spell them.

    Attributes
    ----------
    names : groups of a person name (PS3.5 6.2.1): alphabetic, ideographic, phonetic
    birth_date : ``YYYYMMDD``, or empty
    """

    names: tuple[str, ...]
    patient_id: str
    issuer: str
    birth_date: str
    sex: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """The software that made the report."""

    manufacturer: str
    model_name: str
    serial_number: str
    software_versions: tuple[str, ...]
    device_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a measurement report says (PS3.16 TID 1500).

    Attributes
    ----------
    studied_at : when the images were taken; None if they do not say
    replaces : SOP Instance UIDs of the reports that this one takes the place of
    narrative : research mark and warnings of the weights
    comments : in words, each a paragraph
    priority : of the study, which the report itself does not say; None if it is not known
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    accession_number: str
    placer_order_number: str
    patient: Patient
    equipment: Equipment
    procedure: Code
    written_at: datetime
    studied_at: datetime | None
    replaces: tuple[str, ...]
    groups: tuple[Group, ...]
    evaluations: tuple[Evaluation, ...]
    narrative: str
    comments: tuple[str, ...]
    priority: Priority | None = None

    @property
    def notice(self) -> str:
        """Return what nobody who sees a result may miss: research use, warnings, unverified."""
        return f"{self.narrative.rstrip('. ') or RESEARCH_MARK}. {UNVERIFIED}"

    @property
    def outcome(self) -> Code | None:
        """Return whether anything was found on the examination as a whole."""
        return next(
            (
                one.value
                for one in self.evaluations
                if one.concept.value == SUMMARY and not one.text
            ),
            None,
        )

    @property
    def algorithm(self) -> Algorithm | None:
        """Return the weights with which the report was made, without what is of one score."""
        stated = [one.algorithm for one in self.groups]
        stated += [one.algorithm for one in self.evaluations]
        first = next((one for one in stated if one is not None), None)
        return None if first is None else Algorithm(name=first.name, version=first.version)


SUMMARY: Final = "111017"
"""Code of CAD Processing and Findings Summary (PS3.16 CID 6047)."""
