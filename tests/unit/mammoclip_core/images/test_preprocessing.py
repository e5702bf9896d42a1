"""The published path against a slow reading of its description, pixel by pixel."""

import numpy as np
import pytest
from core_factory import PUBLISHED, breast
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from published_preprocessing import described_crop, described_input

from mammoclip_core.errors import BundleError, PixelError
from mammoclip_core.images.preprocessing import (
    CropGeometry,
    PreparedImage,
    breast_crop,
    prepare,
    to_grey,
)
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing

SMALL = Preprocessing(mode="published", rows=95, columns=57, mean=0.3089279, std=0.2505355)


def stored(values: NDArray[np.generic], **changes: object) -> StoredImage:
    fields: dict[str, object] = {
        "sop_instance_uid": "1.2.3",
        "values": values,
        "photometric_interpretation": "MONOCHROME2",
    }
    return StoredImage(**{**fields, **changes})  # type: ignore[arg-type]  # a test's shorthand


IMAGES = {
    "left": stored(breast()),
    "right": stored(breast()[:, ::-1]),
    "inverted": stored(4095 - breast(), photometric_interpretation="MONOCHROME1"),
    "signed": stored(breast().astype(np.int16) - 2048),
    "rescaled": stored(breast(), rescale_slope=0.37, rescale_intercept=-12.5),
    "falling": stored(breast(), rescale_slope=-1.0, rescale_intercept=4095.0),
    "narrow": stored(breast(220, 70, seed=3)),
    "wide": stored(breast(70, 300, seed=4)),
    "8 bit": stored((breast() >> 4).astype(np.uint8)),
    "full range": stored(np.random.default_rng(5).integers(0, 65536, (90, 80)).astype(np.uint16)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_input_equals_the_description_to_the_bit(name: str) -> None:
    prepared = prepare(IMAGES[name], PUBLISHED)

    np.testing.assert_array_equal(prepared.values, described_input(IMAGES[name], PUBLISHED))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_crop_equals_the_description_with_all_its_quirks(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(3, 14)), data.draw(st.integers(1, 14))
    seed, share = data.draw(st.integers(0, 10_000)), data.draw(st.floats(0, 1))
    generator = np.random.default_rng(seed)
    grey = generator.integers(0, 256, (rows, columns)).astype(np.uint8)
    grey[:, generator.random(columns) < share] = data.draw(st.sampled_from([0, 40, 41]))

    found = breast_crop(grey)

    assert [list(part) for part in found] == list(described_crop(grey))


@pytest.mark.parametrize("value", [0, 7, 4095])
def test_constant_image_is_refused(value: int) -> None:
    with pytest.raises(PixelError, match=r"1\.2\.3: all pixels"):
        prepare(stored(np.full((80, 80), value, np.uint16)), SMALL)


def test_image_that_is_constant_within_its_frame_is_refused() -> None:
    values = np.zeros((80, 80), np.uint16)
    values[0, 0] = 4095

    with pytest.raises(PixelError):
        to_grey(stored(values))


def test_unknown_mode_is_refused() -> None:
    unknown = Preprocessing(mode="guessed", rows=95, columns=57, mean=0.3, std=0.25)

    with pytest.raises(BundleError, match="guessed"):
        prepare(IMAGES["left"], unknown)


def geometry(columns: tuple[int, int], rows: tuple[int, int]) -> CropGeometry:
    return CropGeometry(
        column_runs=(columns,), row_runs=(rows,), input_columns=912, input_rows=1520
    )


@given(
    st.tuples(st.integers(0, 3000), st.integers(1, 4000)),
    st.tuples(st.integers(0, 3000), st.integers(1, 4000)),
    st.tuples(st.floats(0, 912), st.floats(0, 1520)),
)
def test_point_comes_back_from_the_source(
    across: tuple[int, int], down: tuple[int, int], position: tuple[float, float]
) -> None:
    crop = geometry((across[0], sum(across)), (down[0], sum(down)))
    point = np.array([position])

    np.testing.assert_allclose(crop.to_input(crop.to_source(point)), point, atol=1e-6)


def test_corners_of_the_input_are_the_extent() -> None:
    crop = geometry((40, 1940), (100, 3100))

    corners = crop.to_source(np.array([[0.0, 0.0], [912.0, 1520.0]]))

    assert crop.extent == (40.0, 100.0, 1940.0, 3100.0)
    np.testing.assert_allclose(corners.ravel(), crop.extent)


@settings(max_examples=30, deadline=None)
@given(st.integers(60, 330), st.integers(30, 150), st.booleans())
def test_mark_in_the_source_is_found_within_half_a_pixel(row: int, column: int, flip: bool) -> None:
    values = np.full((400, 240), 0, np.uint16)
    values[20:380, 10:200] = np.random.default_rng(0).integers(1000, 1100, (360, 190))
    values[row - 6 : row + 6, column - 6 : column + 6] = 4000
    mark = (float(column), float(row))
    if flip:
        values, mark = values[:, ::-1], (240.0 - column, float(row))

    prepared = prepare(stored(values), PUBLISHED)

    found = prepared.geometry.to_source(centre_of_mark(prepared))
    np.testing.assert_allclose(found[0], mark, atol=0.5)


def centre_of_mark(prepared: PreparedImage) -> NDArray[np.float64]:
    rows, columns = np.nonzero(prepared.values > prepared.values.max() - 0.5)
    return np.array([[columns.mean() + 0.5, rows.mean() + 0.5]])


def test_joined_parts_map_back_to_where_they_came_from() -> None:
    grey = np.zeros((90, 110), np.uint16)
    rng = np.random.default_rng(1)
    for left in (20, 70):
        grey[20:70, left : left + 20] = rng.integers(2000, 4000, (50, 20))

    crop = prepare(stored(grey), SMALL).geometry

    assert crop.column_runs == ((20, 40), (70, 90))
    middle_of_parts = crop.to_source(np.array([[57 / 4, 1.0], [57 * 3 / 4, 1.0]]))[:, 0]
    np.testing.assert_allclose(middle_of_parts, [30.0, 80.0])
    np.testing.assert_allclose(crop.to_input(np.array([[80.0, 30.0]]))[0, 0], 57 * 3 / 4)
