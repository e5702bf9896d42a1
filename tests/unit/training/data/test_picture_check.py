"""Every kind of unusable picture is told before training begins."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from training.data.picture_check import require_usable, unusable_pictures
from training.errors import TableError


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "good.png"
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, (90, 80)).astype(np.uint8))
    return path


def test_good_pictures_are_not_named(picture, tmp_path):
    Image.open(picture).save(tmp_path / "good.tiff")

    assert unusable_pictures([picture, tmp_path / "good.tiff"]) == {}


@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_cut_off_picture_is_named(picture, kept):
    content = picture.read_bytes()
    picture.write_bytes(content[: int(kept * len(content))])

    assert list(unusable_pictures([picture])) == [picture]


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.95])
def test_altered_byte_is_named(picture, place):
    content = bytearray(picture.read_bytes())
    content[int(place * len(content))] ^= 0x10
    picture.write_bytes(content)

    assert list(unusable_pictures([picture])) == [picture]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_picture_of_one_value_is_named(tmp_path, ending, value, kind):
    path = tmp_path / f"blank.{ending}"
    blank = np.full((90, 80), value, kind)
    blank[:5], blank[:, -5:] = 200, 100  # the frame, which is no part of the image
    Image.fromarray(blank).save(path)

    assert unusable_pictures([path]) == {path: "all its pixels have the same value"}


def test_picture_of_two_values_is_not_named(tmp_path):
    path = tmp_path / "mask.png"
    mask = np.zeros((90, 80), np.uint8)
    mask[50, 40] = 1
    cv2.imwrite(str(path), mask)

    assert unusable_pictures([path]) == {}


def test_png_that_is_damaged_in_spite_of_its_checksums_is_named(picture):
    start, _, rest = picture.read_bytes().partition(b"IDAT")
    length = int.from_bytes(start[-4:])
    body = bytes(length)
    checksum = zlib.crc32(b"IDAT" + body).to_bytes(4)
    picture.write_bytes(start + b"IDAT" + body + checksum + rest[length + 4 :])

    assert unusable_pictures([picture]) == {
        picture: "the PNG is damaged: its content cannot be decompressed"
    }


def test_missing_folder_text_and_color_are_named(picture, tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (90, 80, 3), np.uint8)).save(
        tmp_path / "color.tiff"
    )
    files = [tmp_path / name for name in ("gone.png", "folder.png", "text.png", "color.tiff")]

    faults = unusable_pictures([*files, picture, picture])

    assert list(faults) == files
    assert faults[files[0]] == "there is no such file"


def test_refusal_counts_all_and_names_the_first(tmp_path):
    files = [tmp_path / f"{number:02d}.png" for number in range(12)]

    with pytest.raises(TableError, match=r"12 of 12 pictures.*--skip") as refused:
        require_usable(files, skip=False, option="--skip")

    assert "09.png" in str(refused.value)
    assert "10.png" not in str(refused.value)
    assert "and 2 more" in str(refused.value)


def test_what_is_left_out_is_said(picture, tmp_path):
    said = []

    gone = require_usable([picture, tmp_path / "gone.png"], skip=True, option="", say=said.append)

    assert gone == {tmp_path / "gone.png"}
    assert "1 of 2 pictures are left out" in said[0]
    assert os.fspath(tmp_path / "gone.png") in said[0]


def parts_of(content):
    """Return the parts of a PNG, kind and body."""
    place, parts = 8, []
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        parts.append((kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return parts


def with_lines(picture, change):
    """Change the filtered lines of a PNG; every checksum is right."""
    parts = parts_of(picture.read_bytes())
    lines = zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"))
    changed = [
        parts[0],
        (b"IDAT", zlib.compress(change(lines))),
        (b"IEND", b""),
    ]
    picture.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in changed
        )
    )


def test_png_is_not_named_for_being_written_anew(picture):
    with_lines(picture, lambda lines: lines)

    assert unusable_pictures([picture]) == {}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lines: lines[: len(lines) // 2], id="lines are missing"),
        pytest.param(lambda lines: lines[:810] + b"\x09" + lines[811:], id="filter is unknown"),
    ],
)
def test_png_whose_lines_cannot_be_read_is_named(picture, change):
    with_lines(picture, change)

    assert list(unusable_pictures([picture])) == [picture]


def test_picture_that_no_step_could_use_is_named(tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (90, 80, 4)).astype(np.uint8)
    color = Image.fromarray(noise[..., :3])
    color.save(tmp_path / "color.png")
    color.convert("P").save(tmp_path / "palette.png")
    Image.fromarray(noise).save(tmp_path / "transparent.png")
    Image.fromarray(noise[..., :2]).save(tmp_path / "grey and alpha.png")
    frames = [Image.fromarray(noise[..., channel]) for channel in range(2)]
    frames[0].save(tmp_path / "animated.png", save_all=True, append_images=frames[1:])
    frames[0].resize((4, 4)).save(tmp_path / "small.png")
    files = sorted(tmp_path.iterdir())

    assert list(unusable_pictures(files)) == files
