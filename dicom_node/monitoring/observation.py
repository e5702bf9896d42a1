"""What is seen of one answer to watch the model by; nothing of it names a patient."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which equipment has made the images, as their headers say.

    Attributes
    ----------
    serial : Device Serial Number (0018,1000)
    software : values of Software Versions (0018,1020), joined by backslashes
    """

    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    software: str = ""

    @property
    def scanner(self) -> str:
        """Return the equipment without its software, which changes."""
        return " ".join(filter(None, (self.manufacturer, self.model, self.serial))) or "unknown"

    def in_words(self) -> str:
        """Return the equipment with its software."""
        return f"{self.scanner} {self.software}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One answer.

    Attributes
    ----------
    at : when the study began to arrive
    answers : digest of bundle, settings and thresholds, whose answers can be compared
    flagged : whether any finding reached its threshold
    scores : of each finding the highest one
    asymmetry : largest difference of a finding's scores between left and right; None without both
    embedding : a few numbers that stand for the images; empty without
    pixels : of the images' pixels, means by name: breast area, grey, noise; empty without
    left_out : whether an image has no answer
    late : whether the answer came later than it should
    outside : why the study is not meant for the model; empty if it is
    """

    at: datetime
    equipment: Fingerprint
    answers: str = ""
    flagged: bool
    scores: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    asymmetry: float | None = None
    embedding: tuple[float, ...] = ()
    pixels: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    left_out: bool = False
    late: bool = False
    outside: str = ""
