"""Lesions of phantom pairs are linked over both views, hardly ever wrongly, never in the dark."""

import sys
from typing import Any

import numpy as np
import pytest
from lesion_pairs import Change, draw_pair, links_in, links_of
from numpy.typing import NDArray
from pydicom.dataset import Dataset


def modified(value: str) -> list[Dataset]:
    """Return a View Code Sequence whose view has a modifier."""
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = value, "SCT"
    view = Dataset()
    view.ViewModifierCodeSequence = [modifier]
    return [view]


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return the number of a pair with a link."""
    folder = tmp_path_factory.mktemp("pairs")
    return next(number for number in range(100) if links_in(draw_pair(number, folder)))


def test_lesions_of_phantom_pairs_are_linked(tmp_path) -> None:
    links = links_of(20, tmp_path)

    assert links.recall >= 0.75
    assert links.false <= 1


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_lesions_of_500_phantom_pairs_are_linked(tmp_path, capsys) -> None:
    links = links_of(500, tmp_path)

    with capsys.disabled():
        sys.stdout.write(
            f"\n{links.seen_in_both} lesions seen in both views, {links.recall:.1%} linked; "
            f"{links.true + links.false} links, {links.share_false:.1%} false\n"
        )
    assert links.recall >= 0.8
    assert links.share_false <= 0.02


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImagerPixelSpacing": None},
        {"EstimatedRadiographicMagnificationFactor": None, "ViewCodeSequence": "399163009"},
        {"ViewCodeSequence": "399055006"},
        {"ViewCodeSequence": "399209000"},
        {"ViewCodeSequence": "399197002"},
        {"ViewPosition": "CCS"},
        {"PartialView": "YES"},
        {"BreastImplantPresent": "YES"},
        {"PatientOrientation": ["R", "F"]},
        {"PatientOrientation": ["F", "A"]},
    ],
)
def test_nothing_is_linked_where_the_header_leaves_the_geometry_open(
    attributes: dict[str, Any], linked: int, tmp_path
) -> None:
    if "ViewCodeSequence" in attributes:
        attributes = {**attributes, "ViewCodeSequence": modified(attributes["ViewCodeSequence"])}
    assert links_in(draw_pair(linked, tmp_path, **attributes)) == []


def without_its_front(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Cut off the foremost quarter of the breast, and the air before it."""
    heights = np.count_nonzero(pixels > pixels.max() // 8, axis=0)
    breast = np.flatnonzero(heights > 3)
    cut = (breast[-1] - breast[0]) // 4
    is_left = heights[:20].mean() > heights[-20:].mean()
    return pixels[:, : breast[-1] - cut] if is_left else pixels[:, breast[0] + cut :]


@pytest.mark.parametrize(
    "change",
    [
        without_its_front,
        np.rot90,
        lambda pixels: pixels[::-1, ::-1],
        lambda pixels: pixels[:, ::-1],
        lambda pixels: np.full_like(pixels, pixels.max()),
    ],
    ids=["front cut off", "turned", "turned about", "mirrored", "tissue all over"],
)
def test_nothing_is_linked_where_the_pixels_leave_the_geometry_open(
    change: Change, linked: int, tmp_path
) -> None:
    assert links_in(draw_pair(linked, tmp_path, change=change)) == []
