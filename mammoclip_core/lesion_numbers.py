"""The number of each lesion in a study: regions that show the same lesion share one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count

from mammoclip_core.findings import Finding, ImageFindings, Region


def numbered(images: Sequence[ImageFindings]) -> tuple[ImageFindings, ...]:
    """Give each region without a number one that no other region of the study has.

    Numbers follow the order of images, findings and regions; those that are given stay.
    """
    taken = {region.lesion for image in images for region in _regions_of(image)}
    free = (number for number in count(1) if number not in taken)
    return tuple(_with_numbers(image, free) for image in images)


def require_lesions(images: Iterable[ImageFindings]) -> None:
    """Make sure that a number stands for one lesion: of one breast, and once on an image.

    Raises
    ------
    ValueError
        Naming the lesion and what contradicts it.
    """
    seen: dict[int, list[ImageFindings]] = {}
    for image in images:
        for region in _regions_of(image):
            if region.lesion:
                seen.setdefault(region.lesion, []).append(image)
    for lesion, shown in seen.items():
        sides = {image.laterality for image in shown}
        if len(shown) > 1 and (len(sides) > 1 or not sides <= {"L", "R"}):
            raise ValueError(f"lesion {lesion} is not on images of one and the same breast")
        instances = [image.sop_instance_uid for image in shown]
        for instance in instances:
            if instances.count(instance) > 1:
                raise ValueError(f"image {instance}: two regions are lesion {lesion}")


def _regions_of(image: ImageFindings) -> Iterator[Region]:
    for finding in image.findings:
        yield from finding.regions


def _with_numbers(image: ImageFindings, free: Iterator[int]) -> ImageFindings:
    return replace(
        image, findings=tuple(_numbered_finding(finding, free) for finding in image.findings)
    )


def _numbered_finding(finding: Finding, free: Iterator[int]) -> Finding:
    if not finding.regions:
        return finding
    return replace(
        finding,
        regions=tuple(
            region if region.lesion else replace(region, lesion=next(free))
            for region in finding.regions
        ),
    )
