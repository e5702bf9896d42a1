import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mammoclip_core.analysis.attribution import (
    MAX_VERTICES,
    class_activation,
    on_input_grid,
    regions_of,
    relative,
)
from mammoclip_core.findings import Region

WHOLE = (0.0, 0.0, 300.0, 400.0)
SOURCE = (400, 300)


def smooth_map(seed: int, rows: int = 12, columns: int = 8) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).random((rows, columns)).astype(np.float32)
    return relative(cv2.GaussianBlur(noise, (3, 3), 1.0) - 0.4)


def filled(region: Region) -> NDArray[np.bool_]:
    """Paint an outline, the pixels on it included."""
    vertices = np.array([[round(x - 0.5), round(y - 0.5)] for x, y in region.outline], np.int32)
    mask = np.zeros(SOURCE, np.uint8)
    cv2.fillPoly(mask, [vertices], 1)
    return mask > 0


def above(values: NDArray[np.float32], threshold: float = 0.5) -> NDArray[np.uint8]:
    upsampled = cv2.resize(values, (300, 400), interpolation=cv2.INTER_LINEAR)
    return (upsampled >= threshold).astype(np.uint8)


def test_class_activation_is_the_weighted_sum_of_channels() -> None:
    maps = np.random.default_rng(0).random((5, 3, 2)).astype(np.float32)
    weights = np.array([1, -2, 0, 0.5, 3], np.float32)

    activation = class_activation(maps, weights)

    expected = sum(weight * channel for weight, channel in zip(weights, maps, strict=True))
    np.testing.assert_allclose(activation, expected, rtol=1e-6)


def test_relative_map_reaches_one() -> None:
    values = relative(np.array([[-3.0, 0.5], [2.0, 1.0]], np.float32))

    np.testing.assert_array_equal(values, np.array([[0, 0.25], [1, 0.5]], np.float32))


def test_map_without_positive_values_is_empty() -> None:
    assert not relative(np.full((2, 2), -1, np.float32)).any()


def test_cell_centres_are_moved_to_where_they_look() -> None:
    ramp = np.tile(7 + 32 * np.arange(48, dtype=np.float32), (48, 1))

    moved = on_input_grid(ramp, stride=32, first_centre=7, size=(1520, 1520))

    centres = (np.arange(48) + 0.5) * 1520 / 48 - 0.5
    np.testing.assert_allclose(moved[0], np.clip(centres, 7, 7 + 32 * 47), rtol=1e-5)


def test_region_lies_where_the_map_is_high() -> None:
    values = np.zeros((8, 6), np.float32)
    values[1, 4] = 1

    (region,) = regions_of(values, (40.0, 80.0, 100.0, 160.0), SOURCE, min_area_pixels=9)

    left, top, right, bottom = region.box
    assert ((left + right) / 2, (top + bottom) / 2) == (85.0, 95.0)
    assert region.peak == pytest.approx((85.0, 95.0), abs=0.51)
    assert region.activation == pytest.approx(1, abs=0.11)


def test_half_open_box_is_the_extent_of_the_mask() -> None:
    values = smooth_map(3)

    (region,) = regions_of(values, WHOLE, SOURCE, max_regions=1)

    mask = cv2.connectedComponents(above(values))[1]
    column, row = region.peak
    rows, columns = np.nonzero(mask == mask[int(row), int(column)])
    assert region.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000))
@example(231)  # lines of pixels, which were outlined by the corners of their box
@example(550)
@example(727)
def test_filled_outline_is_the_region_within_a_pixel(seed: int) -> None:
    values = smooth_map(seed)

    regions = regions_of(values, WHOLE, SOURCE, max_regions=100, min_area_pixels=0)

    contours, _ = cv2.findContours(above(values), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    expected = cv2.drawContours(np.zeros(SOURCE, np.uint8), contours, -1, 1, cv2.FILLED)
    painted = np.any([filled(region) for region in regions], axis=0).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    assert not (painted > cv2.dilate(expected, kernel)).any()
    assert not (cv2.erode(expected, kernel) > painted).any()
    assert sum(region.area_pixels for region in regions) == expected.sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.floats(0.05, 0.95))
def test_outline_stays_within_the_limits_of_writers(seed: int, threshold: float) -> None:
    values = np.random.default_rng(seed).random((40, 30)).astype(np.float32)

    regions = regions_of(values, WHOLE, SOURCE, threshold=threshold, max_regions=9)

    for region in regions:
        points = np.array(region.outline)
        assert 3 <= len(points) <= MAX_VERTICES
        assert points.min() >= 0
        assert (points <= (300, 400)).all()


def test_part_outside_the_source_is_cut_off() -> None:
    values = np.ones((4, 4), np.float32)

    (region,) = regions_of(values, (-20.0, 390.0, 20.0, 420.0), SOURCE)

    assert region.box == (0.0, 390.0, 20.0, 400.0)


def test_single_pixel_is_outlined_by_its_corners() -> None:
    values = np.zeros((400, 300), np.float32)
    values[7, 9] = 1

    (region,) = regions_of(values, WHOLE, SOURCE, min_area_pixels=1)

    assert region.outline == ((9.0, 7.0), (10.0, 7.0), (10.0, 8.0), (9.0, 8.0))
    assert region.area_pixels == 1


def test_small_regions_are_dropped() -> None:
    values = np.zeros((400, 300), np.float32)
    values[7, 9] = 1

    assert regions_of(values, WHOLE, SOURCE) == ()


def test_highest_regions_are_kept_first() -> None:
    values = np.zeros((8, 6), np.float32)
    values[1, 1], values[4, 4], values[6, 1] = 0.7, 1.0, 0.85

    regions = regions_of(values, WHOLE, SOURCE, max_regions=2)

    assert [region.peak[0] for region in regions] == pytest.approx([225, 75], abs=1)
    assert regions[0].activation > regions[1].activation


def test_hole_belongs_to_the_region_around_it() -> None:
    values = np.zeros((100, 100), np.float32)
    values[20:60, 20:60] = 1
    values[30:50, 30:50] = 0

    (region,) = regions_of(values, (0.0, 0.0, 100.0, 100.0), SOURCE)

    assert region.area_pixels == 1600


def test_empty_map_has_no_regions() -> None:
    assert regions_of(np.zeros((4, 4), np.float32), WHOLE, SOURCE) == ()
