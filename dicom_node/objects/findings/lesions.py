"""Which number a region has in all objects, which views show its lesion, and where it lies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from dicom_node.objects.terms.wording import view_of, words_of
from mammoclip_core.findings import Finding, ImageFindings, Region

LINK_REMARK: Final = (
    "Regions of two views that have one number were taken for the same lesion by software: no "
    "physician has confirmed it."
)

LesionViews: TypeAlias = Mapping[int, tuple[str, ...]]
"""The views that show a lesion, in the order in which they are hung, by its number."""


def numbered_regions(image: ImageFindings) -> tuple[tuple[int, Finding, int], ...]:
    """Return each region by finding and index, with the number that all objects show.

    That is the number of its lesion; of an image that stands alone, its place.
    """
    regions = [
        (finding, index) for finding in image.findings for index in range(len(finding.regions))
    ]
    return tuple(
        (finding.regions[index].lesion or place, finding, index)
        for place, (finding, index) in enumerate(regions, start=1)
    )


def lesion_views(images: Iterable[ImageFindings]) -> LesionViews:
    """Return which views show each lesion."""
    views: dict[int, list[str]] = {}
    for image in images:
        for number, _, _ in numbered_regions(image):
            views.setdefault(number, []).append(view_of(image))
    return {number: tuple(dict.fromkeys(own)) for number, own in views.items()}


def place_text(image: ImageFindings, lesions: LesionViews) -> str:
    """Say in one line where the regions above the threshold lie, and on which other view.

    For example ``1 upper outer quadrant, middle third, also on L MLO``; what lies alike is named
    together. Empty where none of it is known.
    """
    lying: dict[str, list[int]] = {}
    for number, finding, index in numbered_regions(image):
        region = finding.regions[index]
        others = [view for view in lesions.get(number, ()) if view != view_of(image)]
        also = f"also on {' and '.join(others)}" if others else ""
        words = ", ".join(filter(None, (location_text(region), also)))
        if words and region.above_threshold:
            lying.setdefault(words, []).append(number)
    return "; ".join(f"{numbers_text(numbers)} {words}" for words, numbers in lying.items())


def numbers_text(numbers: Sequence[int]) -> str:
    """List numbers, those that follow each other as a range: ``1-3, 5``."""
    runs: list[list[int]] = [list(numbers[:1])] if numbers else []
    for former, number in pairwise(numbers):
        if number == former + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        ", ".join(map(str, run)) if len(run) < 3 else f"{run[0]}-{run[-1]}" for run in runs
    )


def location_text(region: Region) -> str:
    """Say where in the breast a region lies; empty where that is not known."""
    return "" if region.location is None else str(region.location)


def lesion_sentences(images: Iterable[ImageFindings], lesions: LesionViews) -> Iterator[str]:
    """Say of each lesion above the threshold on which views it is and where it lies.

    A lesion of one view whose place is not known has no sentence. The last sentence says who took
    two regions for one lesion.
    """
    told: set[int] = set()
    is_linked = False
    for image in images:
        for number, finding, index in numbered_regions(image):
            region, views = finding.regions[index], lesions.get(number, ())
            words = location_text(region)
            if number in told or not region.above_threshold or not (words or len(views) > 1):
                continue
            told.add(number)
            is_linked |= len(views) > 1
            where = ", ".join(filter(None, (" and ".join(views), words)))
            yield f"Lesion {number}, {words_of(finding.name)}: {where}."
    if is_linked:
        yield LINK_REMARK
