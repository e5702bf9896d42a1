"""The number of each lesion in a study: regions that show the same lesion share one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TypeAlias

from mammoclip_core.findings import Finding, ImageFindings, Region
from mammoclip_core.lesion_location import Height, Location, Side
from mammoclip_core.region_place import place_of

_Key: TypeAlias = tuple[str, int, str, str]
"""Image, frame, finding and place of a region."""


def numbered(images: Sequence[ImageFindings]) -> tuple[ImageFindings, ...]:
    """Give each region without a number one that no other region of the study has.

    Numbers follow the order of images, findings and regions; those that are given stay.
    """
    taken = {region.lesion for image in images for region in _regions_of(image)}
    free = (number for number in count(1) if number not in taken)
    return tuple(_with_numbers(image, free) for image in images)


def with_kept_numbers(
    images: Sequence[ImageFindings], former: Iterable[Sequence[ImageFindings]]
) -> tuple[ImageFindings, ...]:
    """Give each lesion the number under which earlier answers showed it, and new ones new numbers.

    A lesion is known again by any of its regions: by image, finding and place, as their tracking
    UIDs are. Two lesions that were one are told apart: the first in the order of their numbers
    keeps it. A number is never given to another lesion, even if the one that had it is gone.

    Parameters
    ----------
    images : of one study, whose regions have numbers
    former : the images of earlier answers of the same model, the newest last
    """
    known: dict[_Key, int] = {}
    taken: set[int] = set()
    for answer in former:
        own = {key: region.lesion for key, region in _keyed(answer) if region.lesion}
        known |= own
        taken.update(own.values())
    if not taken:
        return tuple(images)
    members: dict[int, list[_Key]] = {}
    for key, region in _keyed(images):
        if region.lesion:
            members.setdefault(region.lesion, []).append(key)
    numbers: dict[int, int] = {}
    for lesion in sorted(members):
        kept = (known[key] for key in members[lesion] if key in known)
        number = next((one for one in kept if one not in numbers.values()), None)
        if number is not None:
            numbers[lesion] = number
    free = count(max(taken) + 1)
    for lesion in sorted(members):
        if lesion not in numbers:
            numbers[lesion] = next(free)
    return tuple(_renumbered(image, numbers) for image in images)


def require_lesions(images: Iterable[ImageFindings]) -> None:
    """Make sure that a number stands for one lesion.

    It is of one breast, of one finding, in one place, and once on an image.

    Raises
    ------
    ValueError
        Naming the lesion and what contradicts it.
    """
    seen: dict[int, list[tuple[ImageFindings, Finding, Region]]] = {}
    for image in images:
        for finding in image.findings:
            for region in finding.regions:
                if region.lesion:
                    seen.setdefault(region.lesion, []).append((image, finding, region))
    for lesion, shown in seen.items():
        sides = {image.laterality for image, _, _ in shown}
        if len(shown) > 1 and (len(sides) > 1 or not sides <= {"L", "R"}):
            raise ValueError(f"lesion {lesion} is not on images of one and the same breast")
        instances = [image.sop_instance_uid for image, _, _ in shown]
        for instance in instances:
            if instances.count(instance) > 1:
                raise ValueError(f"image {instance}: two regions are lesion {lesion}")
        names = list(dict.fromkeys(finding.name for _, finding, _ in shown))
        if len(names) > 1:
            raise ValueError(f"lesion {lesion} is a region of {' and of '.join(names)}")
        _require_one_place(lesion, [region.location for _, _, region in shown])


def _require_one_place(lesion: int, locations: Iterable[Location | None]) -> None:
    stated = [location for location in locations if location is not None]
    heights = {location.height for location in stated} - {Height.UNKNOWN}
    sides = {location.side for location in stated} - {Side.UNKNOWN}
    for places in (heights, sides):
        if len(places) > 1:
            words = " and ".join(sorted(place.value for place in places))
            raise ValueError(f"lesion {lesion} lies {words} at once")


def _keyed(images: Iterable[ImageFindings]) -> Iterator[tuple[_Key, Region]]:
    for image in images:
        for finding in image.findings:
            for index, region in enumerate(finding.regions):
                place = place_of(finding, index).key
                yield (image.sop_instance_uid, finding.frame, finding.name, place), region


def _renumbered(image: ImageFindings, numbers: Mapping[int, int]) -> ImageFindings:
    findings = (
        replace(
            finding,
            regions=tuple(
                replace(region, lesion=numbers.get(region.lesion, 0)) for region in finding.regions
            ),
        )
        if finding.regions
        else finding
        for finding in image.findings
    )
    return replace(image, findings=tuple(findings))


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
