"""The same lesion on the CC and the MLO of one breast, and where in the breast it lies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count
from typing import Final, TypeAlias

from mammoclip_core.findings import ImageFindings, ImageStatus, Point, Region
from mammoclip_core.images.breast_geometry import BreastGeometry
from mammoclip_core.images.header.views import STANDARD_VIEWS
from mammoclip_core.lesion_location import Depth, Height, Location, Side

TOLERANCE_MM: Final = 12.0
"""Regions whose depths behind the nipple differ by no more may show the same lesion."""

ONE_NIGHT: Final = timedelta(days=1)
"""Views further apart are a prior's and the present one's, in which a lesion grows or goes."""

LEVEL_MM: Final = 10.0
"""A region this near to the level of the nipple is on neither side of it."""

Geometries: TypeAlias = Mapping[str, BreastGeometry | None]
"""By SOP Instance UID: of each flat view of a whole breast, None where it is not known."""

_Key: TypeAlias = tuple[str, str, int]
"""SOP Instance UID, finding, and index among the finding's regions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A region on a view of known geometry."""

    key: _Key
    image: ImageFindings
    region: Region
    geometry: BreastGeometry

    @property
    def depth_mm(self) -> float:
        """Return how far behind the nipple its middle lies."""
        return self.geometry.depth_mm(_middle_of(self.region))

    @property
    def share_of_depth(self) -> float:
        """Return the same as a share of the way to the chest wall."""
        return self.depth_mm / self.geometry.length_mm


def with_lesions(
    images: Sequence[ImageFindings], geometries: Geometries
) -> tuple[ImageFindings, ...]:
    """Give each region the number of its lesion and, where the view tells, its location.

    A region of a CC and one of the MLO of the same breast are one lesion if they are of one
    finding, both above the threshold, lie equally far behind the nipple within `TOLERANCE_MM`, and
    no other region of either view could be meant, and the views are not known to be of different
    examinations. Nothing is linked in a breast of which more than
    one whole CC or MLO was analysed, or where the geometry of one of them is not known.

    Parameters
    ----------
    images : in any order, which they keep
        Numbers follow the order in which mammograms are hung.
    """
    placed = {
        one.key: one
        for image in images
        if (geometry := geometries.get(image.sop_instance_uid)) is not None
        for one in _placed(image, geometry)
    }
    pairs = [pair for side in ("R", "L") for pair in _pairs_of(images, geometries, placed, side)]
    locations = {key: _location_of(one) for key, one in placed.items()}
    for first, second in pairs:
        locations[first.key] = locations[second.key] = _joint_location(first, second)
    first_of = {second.key: first.key for first, second in pairs}
    numbers: dict[_Key, int] = {}
    lesions = count(1)
    for image in sorted(images, key=_hanging_place):  # of a pair the CC is hung first
        for key in _keys_of(image):
            numbers[key] = numbers[first_of[key]] if key in first_of else next(lesions)
    return tuple(_with(image, numbers, locations) for image in images)


def _pairs_of(
    images: Sequence[ImageFindings],
    geometries: Geometries,
    placed: Mapping[_Key, _Placed],
    side: str,
) -> Iterator[tuple[_Placed, _Placed]]:
    """Yield what is the same lesion on the CC and on the MLO of a breast."""
    first, second = (
        [
            placed[key]
            for image in _only_view(images, geometries, (side, view))
            for key in _keys_of(image)
            if key in placed and placed[key].region.above_threshold
        ]
        for view in ("CC", "MLO")
    )
    for one in first:
        partners = [other for other in second if _may_be_same(one, other)]
        rivals = [rival for rival in first if any(_may_be_same(rival, it) for it in partners)]
        if len(partners) == len(rivals) == 1:
            yield one, partners[0]


def _only_view(
    images: Sequence[ImageFindings], geometries: Geometries, view: tuple[str, str]
) -> list[ImageFindings]:
    """Return the analysed whole view of a breast; none where there are several."""
    found = [
        image
        for image in images
        if image.status is ImageStatus.ANALYSED
        and (image.laterality, image.view_position) == view
        and image.sop_instance_uid in geometries
    ]
    return found if len(found) == 1 else []


def _may_be_same(one: _Placed, other: _Placed) -> bool:
    is_of_one_kind = one.key[1] == other.key[1]
    return (
        is_of_one_kind
        and abs(one.depth_mm - other.depth_mm) <= TOLERANCE_MM
        and _may_be_of_one_day(one.geometry.acquired_on, other.geometry.acquired_on)
    )


def _may_be_of_one_day(one: str, other: str) -> bool:
    """Return whether views may be of one examination, which can go on past midnight."""
    if not one or not other:
        return True
    return abs(date.fromisoformat(one) - date.fromisoformat(other)) <= ONE_NIGHT


def _placed(image: ImageFindings, geometry: BreastGeometry) -> Iterator[_Placed]:
    if image.laterality not in {"L", "R"} or image.view_position not in {"CC", "MLO"}:
        return
    for finding in image.findings:
        for index, region in enumerate(finding.regions):
            key = (image.sop_instance_uid, finding.name, index)
            yield _Placed(key=key, image=image, region=region, geometry=geometry)


def _location_of(one: _Placed) -> Location:
    """Say which half a view shows: a CC outer and inner, an MLO upper and lower."""
    depth = _depth_of(one.share_of_depth)
    if one.image.view_position == "CC":
        return Location(depth=depth, side=_side_of(one))
    return Location(depth=depth, height=_height_of(one))


def _joint_location(first: _Placed, second: _Placed) -> Location:
    """Join what the CC and the MLO tell of one lesion."""
    return Location(
        depth=_depth_of((first.share_of_depth + second.share_of_depth) / 2),
        side=_side_of(first),
        height=_height_of(second),
    )


def _depth_of(share: float) -> Depth:
    return tuple(Depth)[min(max(int(3 * share), 0), 2)]


def _side_of(one: _Placed) -> Side:
    """Tell outer from inner on a CC, whose columns run to the right or to the left."""
    directions = set(one.geometry.downwards) & {"L", "R"}
    if len(directions) != 1:
        return Side.UNKNOWN
    below = one.geometry.below_mm(_middle_of(one.region))
    if abs(below) < LEVEL_MM:
        return Side.LEVEL
    is_outwards = (one.image.laterality in directions) == (below > 0)
    return Side.OUTER if is_outwards else Side.INNER


def _height_of(one: _Placed) -> Height:
    """Tell upper from lower on an MLO, whose columns run to the feet or to the head."""
    directions = set(one.geometry.downwards) & {"F", "H"}
    if len(directions) != 1:
        return Height.UNKNOWN
    below = one.geometry.below_mm(_middle_of(one.region))
    if abs(below) < LEVEL_MM:
        return Height.LEVEL
    return Height.LOWER if ("F" in directions) == (below > 0) else Height.UPPER


def _middle_of(region: Region) -> Point:
    left, top, right, bottom = region.box
    return (left + right) / 2, (top + bottom) / 2


def _hanging_place(image: ImageFindings) -> int:
    view = (image.laterality, image.view_position)
    return STANDARD_VIEWS.index(view) if view in STANDARD_VIEWS else len(STANDARD_VIEWS)


def _keys_of(image: ImageFindings) -> Iterator[_Key]:
    for finding in image.findings:
        for index in range(len(finding.regions)):
            yield image.sop_instance_uid, finding.name, index


def _with(
    image: ImageFindings, numbers: Mapping[_Key, int], locations: Mapping[_Key, Location]
) -> ImageFindings:
    keys = _keys_of(image)
    return replace(
        image,
        findings=tuple(
            replace(
                finding,
                regions=tuple(
                    replace(region, lesion=numbers[key], location=locations.get(key))
                    for region, key in zip(finding.regions, keys, strict=False)
                ),
            )
            for finding in image.findings
        ),
    )
