"""Lesions in a findings document: their numbers, their places, and what contradicts itself."""

import json
from dataclasses import replace

import pytest
from findings_factory import MASS, REGION, STUDY

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import ImageFindings, ImageStatus, StudyFindings
from mammoclip_core.findings_document import from_json, to_json
from mammoclip_core.lesion_location import Depth, Height, Location, Side
from mammoclip_core.lesion_numbers import numbered, with_kept_numbers


def image(number: int, *lesions: int, side: str = "R") -> ImageFindings:
    return ImageFindings(
        sop_instance_uid=f"1.2.3.{number}",
        laterality=side,
        view_position="CC",
        status=ImageStatus.ANALYSED,
        findings=(
            replace(MASS, regions=tuple(replace(REGION, lesion=lesion) for lesion in lesions)),
        ),
    )


def read(*images: ImageFindings) -> StudyFindings:
    return from_json(to_json(replace(STUDY, images=images)))


def test_numbers_and_locations_read_back() -> None:
    region = replace(
        REGION,
        lesion=3,
        location=Location(depth=Depth.MIDDLE, height=Height.UPPER, side=Side.OUTER),
    )
    study = replace(
        STUDY, images=(replace(STUDY.images[0], findings=(replace(MASS, regions=(region,)),)),)
    )

    assert from_json(to_json(study)) == study


def test_document_without_lesions_is_read() -> None:
    document = json.loads(to_json(STUDY))
    region = document["images"][0]["findings"][0]["regions"][0]
    del region["lesion"], region["location"]

    assert from_json(json.dumps(document)) == STUDY


@pytest.mark.parametrize("lesion", [-1, 1.5, "1", True, None])
def test_lesion_that_is_no_number_is_refused(lesion: object) -> None:
    document = json.loads(to_json(STUDY))
    document["images"][0]["findings"][0]["regions"][0]["lesion"] = lesion

    with pytest.raises(FindingsFormatError, match=r"image 1.2.3.1: finding mass: lesion"):
        from_json(json.dumps(document))


@pytest.mark.parametrize(
    "location",
    [
        {"depth": "deep"},
        {"side": "outer"},
        {"depth": "middle", "side": "left"},
        {"depth": "middle", "quadrant": "upper"},
        "upper outer",
        [],
    ],
)
def test_location_that_is_none_is_refused(location: object) -> None:
    document = json.loads(to_json(STUDY))
    document["images"][0]["findings"][0]["regions"][0]["location"] = location

    with pytest.raises(FindingsFormatError, match=r"image 1.2.3.1: finding mass"):
        from_json(json.dumps(document))


@pytest.mark.parametrize("sides", [("R", "L"), ("", ""), ("B", "B"), ("R", "")])
def test_lesion_on_images_of_two_breasts_or_of_none_is_refused(sides: tuple[str, str]) -> None:
    first, second = sides

    with pytest.raises(FindingsFormatError, match="lesion 4 is not on images of one"):
        read(image(1, 4, side=first), image(2, 4, side=second))


def test_two_regions_of_one_image_are_not_the_same_lesion() -> None:
    with pytest.raises(FindingsFormatError, match=r"image 1.2.3.1: two regions are lesion 4"):
        read(image(1, 4, 4))


def test_lesion_of_two_kinds_of_finding_is_refused() -> None:
    other = image(2, 4)
    other = replace(other, findings=(replace(other.findings[0], name="asymmetry"),))

    with pytest.raises(FindingsFormatError, match="lesion 4 is a region of mass and of asymmetry"):
        read(image(1, 4), other)


def placed(number: int, location: Location) -> ImageFindings:
    made = image(number, 4)
    region = replace(made.findings[0].regions[0], location=location)
    return replace(made, findings=(replace(made.findings[0], regions=(region,)),))


def test_lesion_in_two_places_is_refused() -> None:
    outer, inner = (Location(depth=Depth.MIDDLE, side=side) for side in (Side.OUTER, Side.INNER))

    with pytest.raises(FindingsFormatError, match="lesion 4 lies inner and outer at once"):
        read(placed(1, outer), placed(2, inner))


def test_views_may_each_tell_another_part_of_a_place() -> None:
    images = (
        placed(1, Location(depth=Depth.MIDDLE, side=Side.OUTER)),
        placed(2, Location(depth=Depth.ANTERIOR, height=Height.UPPER)),
    )

    assert read(*images).images == images


def test_lesion_of_two_views_is_read() -> None:
    images = image(1, 4, 7), image(2, 4)

    assert read(*images).images == images


def test_regions_without_a_number_get_those_that_are_free() -> None:
    images = numbered([image(1, 2, 0), image(2, 2, 0, 5), image(3, 0, side="L")])

    assert [
        [region.lesion for finding in one.findings for region in finding.regions] for one in images
    ] == [[2, 1], [2, 3, 5], [4]]


def shown(name: int, **lesions: int) -> ImageFindings:
    """Return an image with a region for each word, at a place of its own."""
    places = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 40.0}
    regions = tuple(
        replace(REGION, lesion=lesion, peak=(places[place], 5.0))
        for place, lesion in lesions.items()
    )
    return replace(image(name), findings=(replace(MASS, regions=regions),))


def numbers_of(*images: ImageFindings) -> list[list[int]]:
    return [[region.lesion for region in one.findings[0].regions] for one in images]


def test_lesion_keeps_its_number_when_an_image_that_is_hung_before_it_comes_late() -> None:
    before = (shown(2, a=1, b=2),)

    after = with_kept_numbers((shown(1, a=1), shown(2, a=2, b=3)), [before])

    assert numbers_of(*after) == [[3], [1, 2]]


def test_lesion_keeps_its_number_when_it_is_linked_to_another_view() -> None:
    before = (shown(1, a=1), shown(2, a=2))

    after = with_kept_numbers((shown(1, b=1, a=2), shown(2, a=2, b=3)), [before])

    assert numbers_of(*after) == [[3, 1], [1, 4]]


def test_lesions_that_were_one_are_told_apart() -> None:
    before = (shown(1, a=1), shown(2, a=1))

    after = with_kept_numbers((shown(1, a=1), shown(2, a=2)), [before])

    assert numbers_of(*after) == [[1], [2]]


def test_number_of_a_lesion_that_is_gone_is_given_to_no_other() -> None:
    answers = [(shown(1, a=1, b=2),), (shown(1, a=1),)]

    after = with_kept_numbers((shown(1, c=1, a=2, b=3),), answers)

    assert numbers_of(*after) == [[3, 1, 2]]


def test_first_answer_keeps_the_numbers_that_it_has() -> None:
    images = (shown(1, a=2, b=7),)

    assert with_kept_numbers(images, []) == images
