"""Which images stand on which page, hung as mammograms are, and how large."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, TypeAlias

from mammoclip_core.findings import ImageFindings, StudyFindings
from mammoclip_core.images.header.views import STANDARD_VIEWS

Row: TypeAlias = tuple[ImageFindings | None, ...]
"""Two images beside each other, the right breast on the left; None leaves a place free.

One image alone stands in the middle: it is not known to be of the one or of the other breast.
"""

Page: TypeAlias = tuple[Row, ...]

ROWS_A_PAGE: Final = 2


def pages_of(findings: StudyFindings) -> tuple[Page, ...]:
    """Hang the four standard views on a page, and what else is positive on further ones.

    Of a view that was taken more than once, or of which several frames have an answer, the first
    page shows the image that has the highest score of those above their threshold. All other
    images with a finding above its threshold follow, whatever their view: nothing positive is
    left out.
    """
    chosen = {view: _chosen(findings, view) for view in STANDARD_VIEWS}
    first = tuple(
        (chosen[right], chosen[left]) for right, left in (STANDARD_VIEWS[:2], STANDARD_VIEWS[2:])
    )
    shown = [image for image in chosen.values() if image is not None]
    others = [image for image in findings.analysed if is_positive(image) and image not in shown]
    rows = _hung(others)
    further = (rows[start : start + ROWS_A_PAGE] for start in range(0, len(rows), ROWS_A_PAGE))
    return (first, *further)


def images_on(page: Page) -> tuple[ImageFindings, ...]:
    """Return the images of a page, row by row."""
    return tuple(image for row in page for image in row if image is not None)


def is_positive(image: ImageFindings) -> bool:
    """Tell whether an image has a finding above its threshold."""
    return any(finding.above_threshold for finding in image.findings)


def cell_of(long_side: int) -> tuple[int, int]:
    """Return the rows and columns that an image on a page fits into."""
    return long_side // 2, round(0.4 * long_side)


def _hung(images: Sequence[ImageFindings]) -> Page:
    """Put the right breast on the left, the left on the right, and below them what is of neither.

    An image of an unknown side, or of both breasts, never takes the place of one breast.
    """
    sides = [[image for image in images if image.laterality == side] for side in ("R", "L")]
    of_neither = [image for image in images if image.laterality not in {"R", "L"}]
    return (*zip_longest(*sides), *((image,) for image in of_neither))


def _chosen(findings: StudyFindings, view: tuple[str, str]) -> ImageFindings | None:
    taken = [
        image for image in findings.analysed if (image.laterality, image.view_position) == view
    ]
    return max(taken, key=_weight, default=None)


def _weight(image: ImageFindings) -> tuple[float, float]:
    """Return the highest score above a threshold, then the highest of all."""
    above = (finding.score for finding in image.findings if finding.above_threshold)
    return max(above, default=-1.0), max((one.score for one in image.findings), default=0.0)
