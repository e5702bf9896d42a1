"""The colours of findings, the same in the segmentation and in the picture."""

from collections.abc import Iterable, Mapping
from typing import Final

from mammoclip_core.findings import ImageFindings

RGB = tuple[int, int, int]

FINDING_COLORS: Final[tuple[RGB, ...]] = (
    (92, 200, 255),
    (134, 232, 170),
    (208, 168, 255),
    (244, 236, 150),
    (255, 160, 180),
    (226, 232, 240),
)
"""Sky, mint, lilac, straw, rose, silver: light, and none of them a colour of the heatmap."""


def dimmed(color: RGB) -> RGB:
    """Return a darker form of a colour, for a region below its threshold."""
    red, green, blue = color
    return red // 2, green // 2, blue // 2


def colors_of(images: Iterable[ImageFindings]) -> Mapping[str, RGB]:
    """Give each finding of a study its colour, by the order in which findings are named."""
    names = dict.fromkeys(finding.name for image in images for finding in image.findings)
    return {name: FINDING_COLORS[number % len(FINDING_COLORS)] for number, name in enumerate(names)}
