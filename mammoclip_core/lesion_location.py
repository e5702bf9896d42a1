"""Where in a breast a region lies, as far as a view tells."""

from dataclasses import dataclass
from enum import StrEnum


class Height(StrEnum):
    """Where a region lies from the level of the nipple upwards or downwards: seen on an MLO."""

    UPPER = "upper"
    LEVEL = "level"
    LOWER = "lower"
    UNKNOWN = ""


class Side(StrEnum):
    """Where a region lies from the line of the nipple outwards or inwards: seen on a CC."""

    OUTER = "outer"
    LEVEL = "level"
    INNER = "inner"
    UNKNOWN = ""


class Depth(StrEnum):
    """Which third of the way from the nipple to the chest wall a region lies in."""

    ANTERIOR = "anterior"
    MIDDLE = "middle"
    POSTERIOR = "posterior"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The place of a region.

    Attributes
    ----------
    height, side : UNKNOWN where the view does not tell
    depth : always known: a region without has no location
    """

    depth: Depth
    height: Height = Height.UNKNOWN
    side: Side = Side.UNKNOWN

    @property
    def part(self) -> str:
        """Name the quadrant or the half of the breast; empty where neither is known."""
        halves = [
            half.value
            for half in (self.height, self.side)
            if half.value in {"upper", "lower", "outer", "inner"}
        ]
        if len(halves) == 2:
            return f"{' '.join(halves)} quadrant"
        if halves:
            return f"{halves[0]} half"
        stated = self.height is Height.LEVEL or self.side is Side.LEVEL
        return "level with the nipple" if stated else ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.part, f"{self.depth} third")))
