"""Lesions in a findings document: their numbers, their places, and what contradicts itself."""

import json
from dataclasses import replace

import pytest
from findings_factory import MASS, REGION, STUDY

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import ImageFindings, ImageStatus, StudyFindings
from mammoclip_core.findings_document import from_json, to_json
from mammoclip_core.lesion_location import Depth, Height, Location, Side
from mammoclip_core.lesion_numbers import numbered


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


def test_lesion_of_two_views_is_read() -> None:
    images = image(1, 4, 7), image(2, 4)

    assert read(*images).images == images


def test_regions_without_a_number_get_those_that_are_free() -> None:
    images = numbered([image(1, 2, 0), image(2, 2, 0, 5), image(3, 0, side="L")])

    assert [
        [region.lesion for finding in one.findings for region in finding.regions] for one in images
    ] == [[2, 1], [2, 3, 5], [4]]
