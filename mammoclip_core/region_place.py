"""What tells a region of a finding from the others, the same in every revision of a study."""

import math
from dataclasses import dataclass

from mammoclip_core.findings import Finding, Point


@dataclass(frozen=True, slots=True)
class RegionPlace:
    """The place of a region, whatever other regions of its finding come before it.

    Attributes
    ----------
    column, row : source pixels
        Of the peak.
    repetition : 1 or more
        Which of the finding's regions of this peak it is.
    """

    column: int
    row: int
    repetition: int

    @property
    def key(self) -> str:
        """Return the part of a tracking UID's key that a region has."""
        return f"{self.column} {self.row} {self.repetition - 1}"


def place_of(finding: Finding, region: int) -> RegionPlace:
    """Return the place of a region, by its index among those of its finding."""
    pixels = [_pixel_of(one.peak) for one in finding.regions[: region + 1]]
    return RegionPlace(*pixels[-1], repetition=pixels.count(pixels[-1]))


def _pixel_of(point: Point) -> tuple[int, int]:
    # Peaks lie at corners and centres of pixels: the boundaries between two names do not.
    column, row = point
    return math.floor(column + 0.25), math.floor(row + 0.25)
