"""Findings of a study in source-image pixels.

Points are ``(column, row)`` and boxes ``(left, top, right, bottom)``, half-open; the outer corner
of the first pixel is ``(0.0, 0.0)`` (PS3.3 C.18.6.1.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.lesion_location import Location

FORMAT: Final = 2
"""Version of the JSON form. Version 1 had no score of a region and no threshold of a finding."""

MAMMOGRAMS: Final = "mammograms"
"""The one domain of a calibration in which a node's scores are called calibrated."""

BOX_THRESHOLD: Final = 0.2
"""Score above which the authors of the published detectors report a box."""

DENSITY_CATEGORIES: Final = ("A", "B", "C", "D")
"""BI-RADS 5th edition breast composition, from almost entirely fat to extremely dense."""

_ROUNDING: Final = 0.01

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class ImageStatus(StrEnum):
    """What became of one image."""

    ANALYSED = "analysed"
    FAILED = "failed"
    LEFT_OUT = "left_out"


class FindingSource(StrEnum):
    """Which part of a bundle a score comes from."""

    PROMPT = "prompt"
    HEAD = "head"
    DETECTOR = "detector"


class LocalisationMethod(StrEnum):
    """How the regions of a finding were found."""

    FACTOR = "factor"
    GRAD_CAM = "grad_cam"
    CAM = "cam"
    BOX = "box"
    NONE = "none"


class ScoreOf(StrEnum):
    """What the score of a region was computed for: the region alone, or its finding as a whole."""

    REGION = "region"
    FINDING = "finding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A closed outline on one source image.

    Attributes
    ----------
    outline : 3 or more points
        Vertices in source pixels, first one not repeated: writers close it.
    box : half-open
        Extent of the region's pixels.
    area_pixels : source pixels
        Number of pixels inside the region.
    peak : point
        Where the heatmap is highest inside the region; the centre of a detector's box.
    activation : [0, 1]
        The heatmap there, relative to the image; a detector's answer for a box, before any
        calibration. Not a probability.
    score_of : REGION or FINDING
        A detector's box has a score of its own. Where the finding's counts for all its regions,
        the `Finding` that holds a region gives it the three attributes below.
    score : [0, 1]
        A probability only if `calibrated`.
    above_threshold : bool
        Whether `score` reaches the operating point.
    lesion : 1 or more, or 0
        The number of the lesion that it shows, shared with the region of another view that shows
        the same one; 0 as long as it has none.
    location : None where the geometry of the view is not known
    """

    outline: tuple[Point, ...]
    box: Box
    area_pixels: int
    peak: Point
    activation: float
    score_of: ScoreOf = ScoreOf.FINDING
    score: float = 0.0
    calibrated: bool = False
    above_threshold: bool = False
    lesion: int = 0
    location: Location | None = None

    def __post_init__(self) -> None:
        if type(self.lesion) is not int or self.lesion < 0:
            raise ValueError(f"lesion {self.lesion!r} of a region is not a whole number from 1 on")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score {self.score} of a region outside [0, 1]")
        if len(self.outline) < 3:
            raise ValueError(f"an outline needs 3 vertices, got {len(self.outline)}")
        if not 0.0 <= self.activation <= 1.0:
            raise ValueError(f"activation {self.activation} outside [0, 1]")
        if self.area_pixels < 0:
            raise ValueError(f"area_pixels {self.area_pixels} of a region is below 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding on one image, or over a breast or a study.

    Attributes
    ----------
    name : stable word
        As in the bundle's manifest, for example ``mass``.
    code : ``scheme|value|meaning``
        The coded concept as the manifest gives it.
    score : [0, 1]
        A probability only if `calibrated`.
    above_threshold : bool
        Whether `score` reaches the finding's operating point.
    threshold : [0, 1] or None
        The operating point; None for a class of a set, and where the document does not tell.
    aggregation : how a score over a breast or a study comes from those below it, in words
        Empty on an image.
    class_of : name of the class set that this is a class of; empty if of none
    regions : tuple of Region
        Empty unless the finding is above its threshold on one image. One with a score of its own
        may be below the threshold.
    encoder : name of the bundle's image encoder behind the score
    head : name of the head or detector; empty where prompts answer
    prompts : texts that answer; empty where a head or a detector does
    frame : 1 or more
        Frame that the score and the regions are of. Another one than its image's only where
        several frames of one instance were looked at and this finding is highest on that one. 1
        over a breast or a study.
    """

    name: str
    code: str
    score: float
    calibrated: bool
    above_threshold: bool
    source: FindingSource
    method: LocalisationMethod
    regions: tuple[Region, ...] = ()
    encoder: str = ""
    head: str = ""
    prompts: tuple[str, ...] = ()
    frame: int = 1
    threshold: float | None = None
    class_of: str = ""
    aggregation: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a finding has no name")
        if self.frame < 1:
            raise ValueError(f"frame {self.frame} of {self.name}: frames count from 1")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score {self.score} of {self.name} outside [0, 1]")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold {self.threshold} of {self.name} outside [0, 1]")
        if self.regions and self.method is LocalisationMethod.NONE:
            raise ValueError(f"{self.name} has regions, but its method is none")
        if self.threshold is not None and self.above_threshold != (self.score >= self.threshold):
            raise ValueError(
                f"{self.name}: above_threshold is {self.above_threshold}, but its score is "
                f"{self.score} and its threshold {self.threshold}"
            )
        object.__setattr__(self, "regions", tuple(map(self._judged, self.regions)))

    @property
    def is_placed(self) -> bool:
        """Tell whether a region shows where the finding that is above its threshold lies."""
        return any(region.above_threshold for region in self.regions)

    def _judged(self, region: Region) -> Region:
        if region.score_of is ScoreOf.FINDING:
            return replace(
                region,
                score=self.score,
                calibrated=self.calibrated,
                above_threshold=self.above_threshold,
            )
        if region.above_threshold and not self.above_threshold:
            raise ValueError(f"{self.name} is below its threshold, but a region of it is above")
        return region


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFindings:
    """What was found on one frame of one instance, or why nothing was.

    Attributes
    ----------
    frame : 1 or more
        Frame number, 1 for a single-frame image. Where several frames of one instance were looked
        at, the one that stands for the instance: that of its highest score.
    laterality : ``L``, ``R``, ``B`` or empty
    view_position : as (0018,5101), for example ``MLO``; empty if unknown
    reason : str
        A remark; never empty unless `status` is ANALYSED.
    density_scores : empty, or 4 values that sum to 1
        Scores of the categories A to D.
    view_modifiers : words of CID 4015
        What makes the view a special one, where the header was at hand: ``implant displaced``.
    repetition : 1 or more
        Which image of its view and modifiers this is, by the time of acquisition.
    """

    sop_instance_uid: str
    frame: int = 1
    laterality: str = ""
    view_position: str = ""
    status: ImageStatus
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    density_scores: tuple[float, ...] = ()
    view_modifiers: tuple[str, ...] = ()
    repetition: int = 1

    def __post_init__(self) -> None:
        if self.status is not ImageStatus.ANALYSED and not self.reason.strip():
            raise ValueError(f"image {self.sop_instance_uid} is {self.status} without a reason")
        if self.status is not ImageStatus.ANALYSED and (self.findings or self.density_scores):
            raise ValueError(f"its status is {self.status}, but it has an answer")
        if len(self.density_scores) not in {0, len(DENSITY_CATEGORIES)}:
            raise ValueError(f"{len(self.density_scores)} density scores for 4 categories")
        if self.density_scores and not (
            all(0.0 <= score <= 1.0 for score in self.density_scores)
            and abs(sum(self.density_scores) - 1.0) <= _ROUNDING
        ):
            raise ValueError(f"density scores {self.density_scores} are no shares of 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastFindings:
    """The findings of one breast over its analysed images, without regions."""

    laterality: str
    findings: tuple[Finding, ...]
    density: str | None = None

    def __post_init__(self) -> None:
        if self.density is not None and self.density not in DENSITY_CATEGORIES:
            raise ValueError(f"density {self.density} is none of {DENSITY_CATEGORIES}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleIdentity:
    """Which bundle answered, and what it may be used for.

    Attributes
    ----------
    warning : words that every object carries; empty if none
        None where the document does not tell, as before it had the warning.
    """

    name: str
    version: str
    sha256: str
    licence: str
    permitted_use: str
    warning: str | None = None

    def __post_init__(self) -> None:
        for name in ("name", "version", "sha256", "licence", "permitted_use"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} of the bundle is no text")
        if self.warning is not None and not isinstance(self.warning, str):
            raise TypeError("warning of the bundle is no text")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineIdentity:
    """Which library computed the answers, and in which numbers.

    Attributes
    ----------
    name : ``torch``, ``torch compiled`` or ``openvino``
    version : the library's own
    precision : ``float32``, ``bfloat16`` or ``float16``
        Of the image encoders; projections and scores are always float32.
    """

    name: str
    version: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFindings:
    """All findings of one study.

    Attributes
    ----------
    settings_sha256 : 64 hexadecimal digits
        Digest of the settings that can change the answer: mode, size, engine, precision.
    engine : EngineIdentity or None
        None where the document does not tell.
    study : tuple of Finding
        The highest score of each finding over the breasts, without regions.
    """

    study_instance_uid: str
    bundle: BundleIdentity
    settings_sha256: str
    images: tuple[ImageFindings, ...]
    breasts: tuple[BreastFindings, ...] = ()
    study: tuple[Finding, ...] = ()
    engine: EngineIdentity | None = None
    format: int = FORMAT

    @property
    def analysed(self) -> tuple[ImageFindings, ...]:
        """Return the images that have an answer."""
        return tuple(image for image in self.images if image.status is ImageStatus.ANALYSED)

    @property
    def is_partial(self) -> bool:
        """Tell whether an image that should have an answer has none."""
        return any(image.status is ImageStatus.FAILED for image in self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """Heatmap of one finding on one image: shows where the model looked, not a measurement.

    Attributes
    ----------
    values : (rows, columns) float32 in [0, 1]
        On any grid: it covers `extent` of the source image.
    extent : half-open box in source pixels
        What the outer corners of `values` lie on; outside of it the heatmap is 0.
    """

    sop_instance_uid: str
    frame: int
    finding: str
    values: NDArray[np.float32]
    extent: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyAnalysis:
    """The findings with the heatmaps behind them, which the JSON form leaves out.

    Attributes
    ----------
    embedding : a few numbers that stand for what the images look like to the model
        To notice that they change, not to recognise anybody; empty where nothing was embedded.
    pixels : means over the images by name (`mammoclip_core.images.pixel_statistics`), alike
    """

    findings: StudyFindings
    heatmaps: tuple[Heatmap, ...] = field(default=())
    embedding: tuple[float, ...] = ()
    pixels: Mapping[str, float] = field(default_factory=dict)
