"""What is told of an image's pixels is what was drawn into them, whatever the header's scale."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mammoclip_core.images.breast_outline import breast_outline
from mammoclip_core.images.pixel_statistics import (
    NAMES,
    PixelStatistics,
    mean_of,
    pixel_statistics,
)
from mammoclip_core.images.stored_image import ProjectionHeader, StoredImage

ROWS, COLUMNS = 800, 600
GREY, NOISE = 1600.0, 20.0
"""Of 4096 values."""


def breast(grey: float = GREY, noise: float = NOISE) -> NDArray[np.uint16]:
    """Return half an ellipse with noise on black air, a fifth of the image and more."""
    shape = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.ellipse(shape, (0, 400), (360, 280), 0, 0, 360, (1,), cv2.FILLED)
    drawn = np.random.default_rng(1).normal(grey, noise, shape.shape)
    return np.where(shape > 0, drawn, 0).round().astype(np.uint16)


def seen(
    values: NDArray[np.generic], photometric: str = "MONOCHROME2", bits: int = 12
) -> PixelStatistics | None:
    image = StoredImage(
        sop_instance_uid="1.2.3",
        values=values,
        photometric_interpretation=photometric,
        bits_stored=bits,
        projection=ProjectionHeader(
            spacing_mm=(0.1, 0.1), orientation=("A", "FR"), is_whole_breast=True
        ),
    )
    return pixel_statistics(image, breast_outline(image))


def test_numbers_are_those_that_were_drawn() -> None:
    found = seen(breast())

    assert found is not None
    area = np.pi * 360 * 280 / 2 / (ROWS * COLUMNS)
    assert found.breast_share == pytest.approx(area, rel=0.02)
    assert found.mean_grey == pytest.approx(GREY / 4096, rel=0.02)
    assert found.noise == pytest.approx(NOISE / 4096, rel=0.03)


@pytest.mark.parametrize("kind", ["light air", "signed", "8 bits more"])
def test_scale_of_the_header_changes_nothing(kind: str) -> None:
    drawn, wanted = breast(), seen(breast())
    if kind == "light air":
        found = seen(4095 - drawn, "MONOCHROME1")
    elif kind == "signed":
        found = seen(drawn.astype(np.int16) - 2048)
    else:
        found = seen(drawn * 16, bits=16)

    assert found is not None
    assert wanted is not None
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=0.01), name


@pytest.mark.parametrize(
    ("changed", "name"), [(breast(grey=2000), "mean_grey"), (breast(noise=30), "noise")]
)
def test_change_of_one_moves_that_one_alone(changed: NDArray[np.uint16], name: str) -> None:
    before, after = seen(breast()), seen(changed)

    assert before is not None
    assert after is not None
    moved = {one for one in NAMES if abs(getattr(after, one) / getattr(before, one) - 1) > 0.05}
    assert moved == {name}


def test_image_without_a_breast_has_none() -> None:
    assert seen(np.zeros((ROWS, COLUMNS), np.uint16)) is None


def test_study_has_the_mean_of_the_images_that_have_any() -> None:
    one = PixelStatistics(breast_share=0.2, mean_grey=0.4, noise=0.01)
    other = PixelStatistics(breast_share=0.4, mean_grey=0.5, noise=0.02)

    assert mean_of([one, None, other]) == {"breast_share": 0.3, "mean_grey": 0.45, "noise": 0.015}
    assert mean_of([None]) == {}
