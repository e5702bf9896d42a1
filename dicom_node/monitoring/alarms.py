"""The kinds of alarm, and how many false ones a year each of them may raise for one scanner."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """What an alarm is about."""

    NEW_SCANNER = "new-scanner"
    NEW_SOFTWARE = "new-software"
    NEW_ANSWERS = "new-answers"
    SILENCE = "silence"
    FLAG_RATE_ROSE = "flag-rate-rose"
    FLAG_RATE_FELL = "flag-rate-fell"
    SCORES = "scores"
    EMBEDDINGS = "embeddings"
    PIXELS = "pixels"
    ASYMMETRY = "asymmetry"
    LEFT_OUT = "left-out"
    LATE = "late"
    ROUTING = "routing"
    CALIBRATION = "calibration"

    @property
    def is_event(self) -> bool:
        """Tell whether it is a fact, which cannot be a false alarm."""
        return self in {Kind.NEW_SCANNER, Kind.NEW_SOFTWARE, Kind.NEW_ANSWERS}

    @property
    def is_charted(self) -> bool:
        """Tell whether a chart for each scanner raises it, at a stated rate of false alarms.

        Not calibration, which is looked at for all scanners together, from truth
        (`dicom_node.drift`).
        """
        return not self.is_event and self is not Kind.CALIBRATION


FALSE_ALARMS: Final[Mapping[Kind, float]] = MappingProxyType(
    {
        Kind.SILENCE: 0.75,
        Kind.FLAG_RATE_ROSE: 0.12,
        Kind.FLAG_RATE_FELL: 0.015,
        Kind.SCORES: 0.015,
        Kind.EMBEDDINGS: 0.015,
        Kind.PIXELS: 0.015,
        Kind.ASYMMETRY: 0.015,
        Kind.LEFT_OUT: 0.015,
        Kind.LATE: 0.015,
        Kind.ROUTING: 0.01,
    }
)
"""False alarms a year and scanner that each charted kind may raise; together less than one.

Silence has the largest share, since two hours of a scanner that does 40 studies a day are ten
studies that do not come, and by chance that happens in more than every other year (`rhythm`).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm, or event.

    Attributes
    ----------
    scanner : manufacturer, model and serial number
    about : what of it, for example the new software version; else empty
    at : when the answer came that raised it; of a silence, when it had lasted too long
    detail : in words
    """

    scanner: str
    kind: Kind
    at: datetime
    detail: str
    about: str = ""
