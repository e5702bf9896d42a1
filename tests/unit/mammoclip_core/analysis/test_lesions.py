"""A lesion is linked over CC and MLO by kind and depth, never in doubt, and located in words."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from findings_factory import MASS, REGION

from mammoclip_core.analysis.lesions import TOLERANCE_MM, with_lesions
from mammoclip_core.findings import Finding, ImageFindings, ImageStatus, Region, ScoreOf
from mammoclip_core.images.breast_geometry import BreastGeometry
from mammoclip_core.lesion_location import Location

LEFT = BreastGeometry(
    nipple=(1000.0, 1000.0), chest_wall=0.0, spacing_mm=(0.1, 0.1), downwards="FR"
)
RIGHT = replace(LEFT, nipple=(200.0, 1000.0), chest_wall=1200.0, downwards="FL")


def region(
    depth_mm: float, below_mm: float = 0.0, side: str = "L", *, above: bool = True
) -> Region:
    """Return a box of 10 mm whose middle lies so far behind and below the nipple."""
    column = 1000.0 - 10 * depth_mm if side == "L" else 200.0 + 10 * depth_mm
    row = 1000.0 + 10 * below_mm
    return replace(
        REGION,
        box=(column - 50, row - 50, column + 50, row + 50),
        score_of=ScoreOf.REGION,
        score=0.6 if above else 0.1,
        above_threshold=above,
    )


def view(
    position: str, *regions: Region, side: str = "L", name: str = "mass", number: int = 1
) -> ImageFindings:
    """Return one view with the regions of one finding."""
    finding = replace(MASS, name=name, regions=regions)
    return ImageFindings(
        sop_instance_uid=f"{side}.{position}.{number}",
        laterality=side,
        view_position=position,
        status=ImageStatus.ANALYSED,
        findings=(finding,),
    )


def lesions_of(
    *images: ImageFindings, without: tuple[str, ...] = (), unknown: tuple[str, ...] = ()
) -> list[list[int]]:
    """Return the numbers of the regions of each image.

    Parameters
    ----------
    without : images that are no whole view
    unknown : whole views of unknown geometry
    """
    geometries = {
        image.sop_instance_uid: None
        if image.sop_instance_uid in unknown
        else (RIGHT if image.laterality == "R" else LEFT)
        for image in images
        if image.sop_instance_uid not in without
    }
    return numbers_of(with_lesions(images, geometries))


def numbers_of(images: Iterable[ImageFindings]) -> list[list[int]]:
    return [
        [region.lesion for finding in image.findings for region in finding.regions]
        for image in images
    ]


@pytest.mark.parametrize("side", ["L", "R"])
def test_regions_of_one_kind_and_depth_are_one_lesion(side: str) -> None:
    cc = view("CC", region(40, 20, side), side=side)
    mlo = view("MLO", region(40 + TOLERANCE_MM - 1, -30, side), side=side)

    assert lesions_of(cc, mlo) == [[1], [1]]


def test_regions_of_different_depths_are_two_lesions() -> None:
    assert lesions_of(view("CC", region(40)), view("MLO", region(41 + TOLERANCE_MM))) == [[1], [2]]


def test_regions_of_different_kinds_are_two_lesions() -> None:
    cc, mlo = view("CC", region(40)), view("MLO", region(40), name="suspicious_calcification")

    assert lesions_of(cc, mlo) == [[1], [2]]


def test_regions_of_different_breasts_are_two_lesions() -> None:
    cc, mlo = view("CC", region(40)), view("MLO", region(40, side="R"), side="R")

    assert lesions_of(cc, mlo) == [[1], [2]]


def test_two_pairs_are_linked_one_to_one() -> None:
    cc, mlo = view("CC", region(20), region(60)), view("MLO", region(62), region(19))

    assert lesions_of(cc, mlo) == [[1, 2], [2, 1]]


@pytest.mark.parametrize("other", [44, 36, 52])
def test_nothing_is_linked_where_two_regions_could_be_meant(other: float) -> None:
    assert lesions_of(view("CC", region(40)), view("MLO", region(42), region(other))) == [
        [1],
        [2, 3],
    ]
    assert lesions_of(view("CC", region(42), region(other)), view("MLO", region(40))) == [
        [1, 2],
        [3],
    ]


@pytest.mark.parametrize("is_below", [(True, False), (False, True), (True, True)])
def test_region_below_its_threshold_is_linked_to_nothing(is_below: tuple[bool, bool]) -> None:
    cc, mlo = is_below

    assert lesions_of(
        view("CC", region(40, above=not cc)), view("MLO", region(40, above=not mlo))
    ) == [[1], [2]]


def test_two_cc_of_one_breast_leave_everything_unlinked() -> None:
    again = view("CC", number=2)

    assert lesions_of(view("CC", region(40)), again, view("MLO", region(40))) == [[1], [], [2]]
    # The geometry of the second is not known: it may still be the one that shows the lesion.
    assert lesions_of(
        view("CC", region(40)), again, view("MLO", region(40)), unknown=("L.CC.2",)
    ) == [[1], [], [2]]


def test_view_that_shows_no_whole_breast_stands_in_no_ones_way() -> None:
    spot = view("CC", region(40), number=2)

    assert lesions_of(
        view("CC", region(40)), spot, view("MLO", region(40)), without=("L.CC.2",)
    ) == [[1], [2], [1]]


def test_failed_repetition_stands_in_no_ones_way() -> None:
    failed = replace(view("CC", number=2), status=ImageStatus.FAILED, reason="damaged", findings=())

    assert lesions_of(view("CC", region(40)), failed, view("MLO", region(40))) == [[1], [], [1]]


@pytest.mark.parametrize("unknown", ["L.CC.1", "L.MLO.1"])
def test_nothing_is_linked_where_the_geometry_of_a_view_is_unknown(unknown: str) -> None:
    cc, mlo = view("CC", region(40)), view("MLO", region(40))

    assert lesions_of(cc, mlo, unknown=(unknown,)) == [[1], [2]]
    assert lesions_of(cc, mlo, without=(unknown,)) == [[1], [2]]


@pytest.mark.parametrize("side", ["", "B"])
def test_nothing_is_linked_where_the_side_is_unknown(side: str) -> None:
    cc, mlo = view("CC", region(40), side=side), view("MLO", region(40), side=side)

    assert lesions_of(cc, mlo) == [[1], [2]]


@pytest.mark.parametrize("position", ["ML", "XCCL", "LM", ""])
def test_other_views_are_linked_to_nothing(position: str) -> None:
    images = view("CC", region(40)), view("MLO", region(40)), view(position, region(40))

    assert lesions_of(*images) == [[1], [1], [2]]
    assert lesions_of(images[0], images[2]) == [[1], [2]]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (("2026-11-30", "2026-11-30"), [[1], [1]]),
        (("2026-11-30", "2026-12-01"), [[1], [1]]),  # past midnight
        (("2026-11-30", ""), [[1], [1]]),
        (("2026-11-30", "2024-11-30"), [[1], [2]]),
    ],
)
def test_views_of_two_examinations_are_not_linked(
    days: tuple[str, str], expected: list[list[int]]
) -> None:
    images = view("CC", region(40)), view("MLO", region(40))
    geometries = {
        image.sop_instance_uid: replace(LEFT, acquired_on=day)
        for image, day in zip(images, days, strict=True)
    }

    assert numbers_of(with_lesions(images, geometries)) == expected


def test_numbers_follow_the_hanging_whatever_the_order_of_the_images() -> None:
    images = [
        view("MLO", region(70), region(30)),
        view("CC", region(30)),
        view("MLO", region(30, side="R"), side="R"),
        view("CC", region(60, side="R"), side="R"),
    ]

    assert lesions_of(*images) == [[4, 2], [2], [3], [1]]


def located(*images: ImageFindings) -> list[str]:
    geometries = {
        image.sop_instance_uid: RIGHT if image.laterality == "R" else LEFT for image in images
    }
    return [
        str(region.location)
        for image in with_lesions(images, geometries)
        for finding in image.findings
        for region in finding.regions
    ]


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize(
    ("depth_mm", "below_mm", "words"),
    [
        (20, -30, "outer half, anterior third"),
        (50, 30, "inner half, middle third"),
        (90, 5, "level with the nipple, posterior third"),
        (-3, 30, "inner half, anterior third"),
        (104, 30, "inner half, posterior third"),
    ],
)
def test_cc_tells_outer_from_inner(side: str, depth_mm: float, below_mm: float, words: str) -> None:
    assert located(view("CC", region(depth_mm, below_mm, side), side=side)) == [words]


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize(
    ("below_mm", "words"),
    [
        (-30, "upper half, middle third"),
        (30, "lower half, middle third"),
        (-9, "level with the nipple, middle third"),
    ],
)
def test_mlo_tells_upper_from_lower(side: str, below_mm: float, words: str) -> None:
    assert located(view("MLO", region(50, below_mm, side), side=side)) == [words]


@pytest.mark.parametrize(
    ("cc", "mlo", "words"),
    [
        (-30, -30, "upper outer quadrant"),
        (30, -30, "upper inner quadrant"),
        (-30, 30, "lower outer quadrant"),
        (0, 30, "lower half"),
        (30, 0, "inner half"),
        (0, 0, "level with the nipple"),
    ],
)
def test_both_views_of_a_lesion_tell_its_quadrant(cc: float, mlo: float, words: str) -> None:
    assert (
        located(view("CC", region(50, cc)), view("MLO", region(52, mlo)))
        == [f"{words}, middle third"] * 2
    )


@pytest.mark.parametrize("position", ["CC", "MLO"])
def test_image_that_is_upside_down_is_located_as_it_was_taken(position: str) -> None:
    image = view(position, region(50, -30))
    turned = {image.sop_instance_uid: replace(LEFT, downwards="HL")}
    (answer,) = with_lesions([image], turned)

    assert answer.findings[0].regions[0].location == Location(
        depth="middle", **({"side": "inner"} if position == "CC" else {"height": "lower"})
    )


@pytest.mark.parametrize("downwards", ["", "A", "LR"])
def test_half_is_not_told_where_the_direction_of_columns_is_unknown(downwards: str) -> None:
    image = view("CC", region(50, -30))
    geometries = {image.sop_instance_uid: replace(LEFT, downwards=downwards)}
    (answer,) = with_lesions([image], geometries)

    assert str(answer.findings[0].regions[0].location) == "middle third"


@pytest.mark.parametrize("side", ["", "B"])
def test_region_of_unknown_side_has_no_location(side: str) -> None:
    assert located(view("CC", region(50, -30), side=side)) == ["None"]


def test_regions_of_a_view_of_unknown_geometry_have_numbers_and_no_location() -> None:
    (answer,) = with_lesions([view("CC", region(50), region(60))], {})

    found: Finding = answer.findings[0]
    assert [(one.lesion, one.location) for one in found.regions] == [(1, None), (2, None)]
