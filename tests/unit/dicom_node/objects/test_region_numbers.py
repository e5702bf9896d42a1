"""The number of a region stands in the image of that region and nowhere else."""

from types import SimpleNamespace

import numpy as np
import pytest

from dicom_node.objects.drawing.lettering import Lettering
from dicom_node.objects.drawing.overlay import Placement
from dicom_node.objects.drawing.picture import with_numbers

EDGE = 200


def numbered(outline: list[tuple[int, int]]) -> np.ndarray:
    """Return a canvas with one image from row 50 to 250 at its left, and its region's number."""
    region = SimpleNamespace(outline=outline)
    image = SimpleNamespace(findings=[SimpleNamespace(name="mass", regions=[region])])
    display = SimpleNamespace(pixels=np.zeros((EDGE, EDGE), np.uint8))
    placement = Placement(column_offset=0, row_offset=50, column_scale=1.0, row_scale=1.0)
    canvas = np.full((300, 2 * EDGE, 3), 99, np.uint8)
    colors = {"mass": (255, 0, 0)}
    lettering = Lettering(2 * EDGE)
    return with_numbers(canvas, image, display, placement, colors, lettering=lettering) != 99


@pytest.mark.parametrize(
    "outline",
    [
        [(180, 0), (200, 0), (200, 20), (180, 20)],
        [(180, 190), (200, 200), (180, 200)],
        [(0, 0), (5, 0), (5, 5)],
        [(150, 90), (199, 90), (199, 110)],
    ],
)
def test_number_stays_in_its_image(outline: list[tuple[int, int]]) -> None:
    written = numbered(outline).any(axis=2)

    assert written[50:250, :EDGE].any()
    assert written.sum() == written[50:250, :EDGE].sum()
