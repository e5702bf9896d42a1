"""Whatever is positive stands on a page of the sheet: slices, repetitions, unknown sides."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from every_kind import tomosynthesis
from legibility import letters_of
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    bytes_of,
    context_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    standard_views,
    study_of,
)

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing.hanging import images_on, is_positive, pages_of
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.drawing.lettering import TEXT
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.drawing.sheet_picture import Tile, compose_sheet, further_text
from dicom_node.objects.frames import by_frame
from dicom_node.objects.products import PROFILES
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import ImageFindings

MASS = finding(marker_mask(60, 150))


def again(number: int, view: str = "CC", side: str = "L") -> pydicom.Dataset:
    return mammogram(view, side, SOPInstanceUID=uid_of("again", str(number)))


def every_sort() -> dict[str, list[ImageFindings]]:
    """Return examinations whose positive images do not fit four places."""
    stack = image_of(tomosynthesis(), replace(MASS, frame=2), finding(name="asymmetry", score=0.7))
    slices = by_frame([replace(stack, frame=4, findings=(stack.findings[0], NEGATIVE))])
    return {
        "several slices": [*slices],
        "repeated views": [image_of(again(one), MASS) for one in range(7)],
        "unknown side": [image_of(again(one, "MLO", ""), MASS) for one in range(3)],
        "unknown view": [image_of(again(one, "", "R"), MASS) for one in range(2)],
        "further views": [image_of(again(1, "ML"), MASS), image_of(again(2, "XCCL", "R"), MASS)],
        "both breasts on one image": [image_of(again(1, "CC", "B"), MASS)],
        "a weaker but positive one beside a stronger negative one": [
            image_of(again(1), finding(score=0.9, above_threshold=False)),
            image_of(again(2), finding(score=0.4)),
        ],
    }


@pytest.mark.parametrize("sort", every_sort())
def test_every_positive_image_stands_on_one_page(sort: str) -> None:
    images = every_sort()[sort]
    rest = [image_of(mammogram(view, side), NEGATIVE) for side, view in standard_views()[2:]]

    shown = [image for page in pages_of(study_of(*images, *rest)) for image in images_on(page)]

    for image in filter(is_positive, images):
        assert shown.count(image) == 1


def test_negative_repetitions_need_no_page() -> None:
    images = [image_of(again(one), NEGATIVE) for one in range(5)]

    assert len(pages_of(study_of(*images))) == 1


def test_right_breast_hangs_on_the_left_of_every_page() -> None:
    images = [image_of(again(one, "CC", "LR"[one % 2]), MASS) for one in range(12)]

    for page in pages_of(study_of(*images)):
        for left, right in page:
            assert left is None or left.laterality == "R"
            assert right is None or right.laterality == "L"


def test_image_of_neither_breast_hangs_alone_in_the_middle() -> None:
    sided = [image_of(again(one, "CC", "LR"[one % 2]), MASS) for one in range(4)]
    neither = [image_of(again(one, "CC", side), MASS) for one, side in ((7, ""), (8, "B"))]

    _, *pages = pages_of(study_of(neither[0], *sided, neither[1]))

    rows = [row for page in pages for row in page]
    assert rows[-2:] == [(neither[0],), (neither[1],)]
    assert all(len(row) == 2 for row in rows[:-2])


def test_image_alone_is_drawn_across_the_middle_with_its_words_below() -> None:
    dataset = mammogram("CC", "", size=(400, 300))
    image = image_of(dataset, MASS)
    findings = study_of(image)
    display = show(dataset, breast_pixels(dataset))

    sheet = compose_sheet(
        pages_of(findings),
        2,
        lambda shown: Tile(image=shown, display=display, heatmaps=()),
        findings=findings,
        remarks=(),
        context=context_of(findings),
        cell=(400, 320),
        style=PictureStyle.GREY,
    )

    (placement,) = sheet.placements
    assert placement.column_offset == 320 - 150
    below = letters_of(sheet.pixels[400:, :640], TEXT)
    places = np.flatnonzero(below.any(axis=0))
    assert 160 <= places.min() < places.max() < 480


def test_pages_are_numbered_objects_of_one_series() -> None:
    datasets = [mammogram(view, side) for side, view in standard_views()]
    datasets += [again(one) for one in range(5)]
    pairs = [(dataset, image_of(dataset, MASS)) for dataset in datasets]

    results = results_of(*pairs, profiles=(PROFILES["workstation"],))

    sheets = [one.dataset for one in results if one.kind is ResultKind.SUMMARY_SHEET]
    assert [sheet.InstanceNumber for sheet in sheets] == [1, 2, 3, 4]
    assert len({sheet.SOPInstanceUID for sheet in sheets}) == 4
    assert len({sheet.SeriesInstanceUID for sheet in sheets}) == 1
    named = {
        item.ReferencedSOPInstanceUID for sheet in sheets for item in sheet.SourceImageSequence
    }
    assert named == {dataset.SOPInstanceUID for dataset in datasets}
    for sheet in sheets:
        again_read = pydicom.dcmread(io.BytesIO(bytes_of(sheet)))
        assert f"page {sheet.InstanceNumber} of 4" in again_read.DerivationDescription


def test_first_page_names_what_stands_on_further_ones() -> None:
    image = image_of(again(1, "", ""), finding(marker_mask(60, 150), score=0.62))

    assert further_text(image, 2) == ("unknown view of unknown side (page 2): 1 mass score 0.62")
