"""Pictures as mammograms: read exactly, or refused with the reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from core_factory import breast
from numpy.typing import NDArray
from PIL import Image

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.image_message import to_message
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.picture_file import prepared_png, raster_format, read_raster
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.manifest import Preprocessing

SIZE = Preprocessing(mode="published", rows=200, columns=160, mean=0.3089279, std=0.2505355)


def grey_8() -> NDArray[np.uint8]:
    return (breast() >> 4).astype(np.uint8)


def save(values: NDArray[Any], path: Path, **options: Any) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("values", [grey_8(), breast()], ids=["8", "16"])
def test_values_are_read_exactly(tmp_path: Path, name: str, values: NDArray[Any]) -> None:
    image = read_raster(save(values, tmp_path / name))

    assert image.values.dtype == values.dtype
    assert (image.values == values).all()


def test_format_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    path = save(grey_8(), tmp_path / "a.dcm", format="PNG")

    assert raster_format(path) == "PNG"
    assert read_image(path).rows == 200


def test_three_equal_channels_are_grey(tmp_path: Path) -> None:
    path = save(np.repeat(grey_8()[..., None], 3, axis=2), tmp_path / "a.png")

    assert (read_raster(path).values == grey_8()).all()


def test_jpeg_of_grey_channels_is_grey(tmp_path: Path) -> None:
    path = save(np.repeat(grey_8()[..., None], 3, axis=2), tmp_path / "a.jpg", quality=95)

    difference = np.abs(read_raster(path).values.astype(int) - grey_8())
    assert difference.mean() < 4


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_image_of_the_input_size_counts_as_prepared(tmp_path: Path, name: str) -> None:
    values = grey_8()

    prepared = prepare(read_raster(save(values, tmp_path / name)), SIZE)

    x = values.astype(np.float32)
    x = (x - x.min()) / (x.max() - x.min())
    expected = (x - np.float32(SIZE.mean)) / np.float32(SIZE.std)
    np.testing.assert_allclose(prepared.values, expected, atol=1e-6)
    assert prepared.geometry.extent == (0, 0, 160, 200)


def test_sixteen_bits_of_the_input_size_count_as_prepared(tmp_path: Path) -> None:
    prepared = prepare(read_raster(save(breast(), tmp_path / "a.png")), SIZE)

    x = breast().astype(np.float32) / np.float32(breast().max())
    np.testing.assert_allclose(prepared.values * SIZE.std + SIZE.mean, x, atol=1e-6)


@pytest.mark.parametrize("name", ["a.jpg", "larger.png"])
def test_other_images_are_cropped(tmp_path: Path, name: str) -> None:
    values = grey_8() if name == "a.jpg" else np.pad(grey_8(), ((0, 0), (0, 90)))

    prepared = prepare(read_raster(save(values, tmp_path / name)), SIZE)

    assert prepared.geometry.extent[2] < values.shape[1] - 5


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.random.default_rng(0).integers(0, 255, (90, 80, 3), np.uint8), "in color"),
        (np.dstack([grey_8()] * 3 + [grey_8() // 2]), "transparent"),
        (np.full((90, 80), np.nan, np.float32), "kind F"),
        (np.zeros((900, 1), np.uint8), "too few"),
        (np.full((90, 80), 1 << 20, np.int32), "beyond 16 bits"),
    ],
)
def test_what_is_no_mammogram_is_refused(
    tmp_path: Path, values: NDArray[Any], complaint: str
) -> None:
    path = save(values, tmp_path / "a.tif")

    with pytest.raises(PixelError, match=complaint):
        read_raster(path)


def test_picture_of_one_value_is_refused(tmp_path: Path) -> None:
    image = read_raster(save(np.full((200, 160), 9, np.uint8), tmp_path / "a.png"))

    with pytest.raises(PixelError, match="one single value"):
        prepare(image, SIZE)


def test_several_pages_are_refused(tmp_path: Path) -> None:
    page = Image.fromarray(grey_8())
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])

    with pytest.raises(PixelError, match="several pages"):
        read_raster(tmp_path / "a.tif")


def test_enormous_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (20_000, 20_000)).save(path)

    with pytest.raises(PixelError, match=r"too many|Decompression"):
        read_raster(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_truncated_picture_is_refused(tmp_path: Path, name: str) -> None:
    path = save(grey_8(), tmp_path / name)
    path.write_bytes(path.read_bytes()[:300])

    with pytest.raises(PixelError, match="not a readable picture"):
        read_raster(path)


def test_file_that_is_not_there_is_a_pixel_error(tmp_path: Path) -> None:
    with pytest.raises(PixelError, match="cannot be read"):
        read_image(tmp_path / "none.png")


def test_picture_that_says_it_is_prepared_is_scaled_and_not_cropped(tmp_path: Path) -> None:
    values = np.pad(grey_8()[20:-20, :100], ((30, 30), (0, 60)))  # air that a crop would cut off
    (tmp_path / "a.png").write_bytes(prepared_png(values))

    image = read_raster(tmp_path / "a.png")
    prepared = prepare(image, replace(SIZE, rows=110, columns=80))

    assert (image.values == values).all()
    assert prepared.geometry.extent == (0, 0, 160, 220)
    assert (prepared.grey == cv2.resize(values, (80, 110), interpolation=cv2.INTER_AREA)).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_picture_of_the_published_size_is_scaled_and_not_cropped(tmp_path: Path, name: str) -> None:
    values = np.pad(grey_8(), ((0, 1320), (0, 752)))

    prepared = prepare(read_raster(save(values, tmp_path / name)), SIZE)

    assert prepared.geometry.extent == (0, 0, 912, 1520)


def test_what_a_picture_says_reaches_the_node_from_the_decoding_child(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(prepared_png(grey_8()))

    message, arrays = to_message(read_raster(tmp_path / "a.png"))

    assert message["content"]["is_prepared"] is True
    assert (arrays[0] == grey_8()).all()
