"""Pixel data without a codestream that hold more bits than the header says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from core_factory import PUBLISHED, encapsulated, mammogram, save
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.preprocessing import prepare

ROWS, COLUMNS = np.mgrid[0:80, 0:96].astype(np.float64)
BREAST = np.clip(1 - (COLUMNS / 70) ** 2 - ((ROWS - 40) / 36) ** 2, 0, 1) ** 0.5
BREAST += 0.01 * np.random.default_rng(5).random(BREAST.shape) * (BREAST > 0)
BREAST /= BREAST.max()
FOURTEEN = np.rint(BREAST * 16383).astype(np.uint16)
SIXTEEN = np.rint(BREAST * 65535).astype(np.uint16)
TWELVE = np.rint(BREAST * 4095).astype(np.uint16)
SIGNED = np.rint(BREAST * 4095 - 2048).astype(np.int16)
EIGHT = np.rint(BREAST * 255).astype(np.uint8)
FULL_WORDS = {"BitsStored": 16, "HighBit": 15}

Write = Callable[..., Path]


def native(path: Path, words: NDArray[Any], **attributes: Any) -> Path:
    return save(mammogram(words, **attributes), path)


def deflated(path: Path, words: NDArray[Any], **attributes: Any) -> Path:
    dataset = mammogram(words, **attributes)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return save(dataset, path)


def big_endian(path: Path, words: NDArray[Any], **attributes: Any) -> Path:
    dataset = mammogram(words, **attributes)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = words.byteswap().tobytes()
    dataset["PixelData"].VR = "OW" if words.itemsize == 2 else "OB"
    return save(dataset, path)


def run_length(path: Path, words: NDArray[Any], **attributes: Any) -> Path:
    dataset = mammogram(words, **attributes)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    return save(dataset, path)


WRITERS = pytest.mark.parametrize("write", [native, deflated, big_endian, run_length])


@WRITERS
@pytest.mark.parametrize("values", [FOURTEEN, SIXTEEN], ids=["14 bits", "16 bits"])
def test_values_beyond_the_headers_bits_are_kept(
    tmp_path: Path, write: Write, values: NDArray[Any]
) -> None:
    stored = read_pixels(write(tmp_path / "a.dcm", values))

    np.testing.assert_array_equal(stored.values, values)
    bits = int(values.max()).bit_length()
    assert stored.bits_stored == bits
    assert stored.remark == (
        f"the pixel data hold {bits} bits without sign, the header says 12 bits without sign: "
        "read as the pixel data say"
    )
    assert prepare(stored, PUBLISHED).remark == stored.remark


@WRITERS
def test_negative_values_under_an_unsigned_header_are_kept(tmp_path: Path, write: Write) -> None:
    stored = read_pixels(write(tmp_path / "a.dcm", SIGNED, PixelRepresentation=0))

    np.testing.assert_array_equal(stored.values, SIGNED)
    assert stored.values.dtype == np.int16
    assert "with sign" in stored.remark


@WRITERS
def test_values_beyond_the_bits_of_a_signed_header_are_kept(tmp_path: Path, write: Write) -> None:
    values = np.rint(BREAST * 16383 - 8192).astype(np.int16)

    stored = read_pixels(write(tmp_path / "a.dcm", values))

    np.testing.assert_array_equal(stored.values, values)
    assert stored.remark == (
        "the pixel data hold 14 bits with sign, the header says 12 bits with sign: "
        "read as the pixel data say"
    )


@WRITERS
def test_unsigned_values_under_a_signed_header_of_as_many_bits_are_kept(
    tmp_path: Path, write: Write
) -> None:
    stored = read_pixels(write(tmp_path / "a.dcm", TWELVE, PixelRepresentation=1))

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert stored.remark == (
        "the pixel data hold 12 bits without sign, the header says 12 bits with sign: "
        "read as the pixel data say"
    )


@WRITERS
@pytest.mark.parametrize("values", [SIXTEEN, EIGHT], ids=["16 bits", "8 bits"])
def test_values_without_sign_are_kept_under_a_signed_header_of_full_words(
    tmp_path: Path, write: Write, values: NDArray[Any]
) -> None:
    full = FULL_WORDS if values is SIXTEEN else {}

    stored = read_pixels(write(tmp_path / "a.dcm", values, PixelRepresentation=1, **full))

    np.testing.assert_array_equal(stored.values, values)
    bits = 8 * values.itemsize
    assert stored.remark == (
        f"the pixel data hold {bits} bits without sign, the header says {bits} bits with sign: "
        "read as the pixel data say"
    )


@WRITERS
def test_values_with_sign_are_kept_under_an_unsigned_header_of_full_words(
    tmp_path: Path, write: Write
) -> None:
    stored = read_pixels(write(tmp_path / "a.dcm", SIGNED, PixelRepresentation=0, **FULL_WORDS))

    np.testing.assert_array_equal(stored.values, SIGNED)
    assert stored.remark == (
        "the pixel data hold 12 bits with sign, the header says 16 bits without sign: "
        "read as the pixel data say"
    )


def with_text() -> NDArray[np.uint16]:
    """Return a dim image on black, with dots as bright as can be."""
    image = SIXTEEN // 3
    image[2:12:2, 75:95:2] = 65535
    return image


def with_marker() -> NDArray[np.uint16]:
    """Return a dim image on black, with a small area of bright pixels that differ."""
    image = SIXTEEN // 3
    image[4:11, 80:89] = 65000 + np.arange(63).reshape(7, 9)
    return image


def with_border() -> NDArray[np.uint16]:
    """Return a bright image in a black border."""
    return np.pad(65535 - SIXTEEN[8:-8, 8:-8] // 3, 8)


@pytest.mark.parametrize("image", [with_text(), with_marker(), with_border(), SIXTEEN])
def test_full_words_without_sign_may_stand_beside_black(
    tmp_path: Path, image: NDArray[np.uint16]
) -> None:
    stored = read_pixels(native(tmp_path / "a.dcm", image, **FULL_WORDS))

    np.testing.assert_array_equal(stored.values, image)
    assert (stored.bits_stored, stored.remark) == (16, "")


def test_text_in_an_image_with_sign_is_no_lack_of_a_sign(tmp_path: Path) -> None:
    image = np.where(BREAST > 0, np.rint(BREAST * 20000) - 25000, -32768).astype(np.int16)
    image[2:12:2, 75:95:2] = 32767

    stored = read_pixels(native(tmp_path / "a.dcm", image, **FULL_WORDS))

    np.testing.assert_array_equal(stored.values, image)
    assert stored.remark == ""


def test_one_pixel_beyond_the_headers_bits_costs_no_image(tmp_path: Path) -> None:
    values = TWELVE.copy()
    values[40, 40] = 16383

    stored = read_pixels(native(tmp_path / "a.dcm", values))

    assert (stored.values != TWELVE).sum() <= 1
    assert "passed over" in stored.remark


def test_unsigned_values_under_a_signed_header_of_fewer_bits_are_kept(tmp_path: Path) -> None:
    stored = read_pixels(native(tmp_path / "a.dcm", SIXTEEN, PixelRepresentation=1))

    np.testing.assert_array_equal(stored.values, SIXTEEN)
    assert "16 bits without sign" in stored.remark


@pytest.mark.parametrize("words", [SIGNED, SIGNED & 0xFFF], ids=["extended", "patterns"])
@WRITERS
def test_signed_values_need_no_remark_with_their_sign_repeated_or_not(
    tmp_path: Path, write: Write, words: NDArray[Any]
) -> None:
    stored = read_pixels(write(tmp_path / "a.dcm", words))

    np.testing.assert_array_equal(stored.values, SIGNED)
    assert (stored.bits_stored, stored.remark) == (12, "")


@WRITERS
@pytest.mark.parametrize(
    ("words", "values"),
    [(TWELVE, TWELVE), (SIGNED, SIGNED), (SIGNED & 0xFFF, SIGNED)],
    ids=["unsigned", "extended", "patterns"],
)
def test_values_at_the_low_end_of_their_words_are_not_moved_down(
    tmp_path: Path, write: Write, words: NDArray[Any], values: NDArray[Any]
) -> None:
    stored = read_pixels(write(tmp_path / "a.dcm", words, HighBit=15))

    np.testing.assert_array_equal(stored.values, values)
    assert (stored.bits_stored, stored.remark) == (
        12,
        "the pixel data hold 12 bits, the header places 12 bits up to bit 15: "
        "read as the pixel data say",
    )


@WRITERS
def test_overlay_plane_below_the_values_leaves_them_at_the_high_end(
    tmp_path: Path, write: Write
) -> None:
    dim = TWELVE // 32
    file = write(tmp_path / "a.dcm", dim << 4 | drawn(2) & 4, HighBit=15)
    dataset = pydicom.dcmread(file)
    dataset.add_new((0x6000, 0x0102), "US", 2)

    stored = read_pixels(save(dataset, file))

    np.testing.assert_array_equal(stored.values, dim)
    assert stored.remark == ""


def drawn(bit: int) -> NDArray[np.uint16]:
    """Return the image with a frame and a text of dots in one bit above its values."""
    plane = np.zeros(TWELVE.shape, np.uint16)
    plane[10:60, 20], plane[10, 20:60], plane[30:34:2, 5:60:3] = 1, 1, 1
    return TWELVE | plane << bit


@WRITERS
@pytest.mark.parametrize("bit", [12, 15])
def test_overlay_plane_that_the_header_names_is_no_part_of_the_image(
    tmp_path: Path, write: Write, bit: int
) -> None:
    file = write(tmp_path / "a.dcm", drawn(bit))
    dataset = pydicom.dcmread(file)
    dataset.add_new((0x6000, 0x0100), "US", 16)
    dataset.add_new((0x6000, 0x0102), "US", bit)

    stored = read_pixels(save(dataset, file))

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert stored.remark == ""


@WRITERS
@pytest.mark.parametrize("bit", [12, 13, 15])
def test_drawing_above_the_values_is_passed_over_and_said(
    tmp_path: Path, write: Write, bit: int
) -> None:
    stored = read_pixels(write(tmp_path / "a.dcm", drawn(bit)))

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert stored.remark == (
        "the pixel data hold something above the 12 bits that the header says: passed over"
    )


def test_bits_that_are_set_in_every_pixel_are_passed_over_and_said(tmp_path: Path) -> None:
    stored = read_pixels(native(tmp_path / "a.dcm", TWELVE | 0xA000))

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert "passed over" in stored.remark


@WRITERS
@pytest.mark.parametrize("bits", [13, 14, 16])
def test_image_that_cannot_be_told_from_what_stands_above_it_is_refused(
    tmp_path: Path, write: Write, bits: int
) -> None:
    noise = np.random.default_rng(7).integers(0, 1 << bits, TWELVE.shape).astype(np.uint16)

    with pytest.raises(PixelError, match=r"more than the 12 bits .* cannot be told"):
        read_pixels(write(tmp_path / "a.dcm", noise))


def test_few_values_beyond_the_headers_bits_are_kept(tmp_path: Path) -> None:
    values = np.rint(BREAST * 4200).astype(np.uint16)

    stored = read_pixels(native(tmp_path / "a.dcm", values))

    np.testing.assert_array_equal(stored.values, values)


@pytest.mark.parametrize("signed", [False, True])
def test_padding_beyond_the_headers_bits_stays_padding(tmp_path: Path, signed: bool) -> None:
    words = np.where(BREAST > 0, SIGNED if signed else TWELVE, -32768 if signed else 65535)
    words = words.astype(np.int16 if signed else np.uint16)
    padding = int(words.min() if signed else words.max())

    stored = read_pixels(native(tmp_path / "a.dcm", words, PixelPaddingValue=padding))

    np.testing.assert_array_equal(stored.values, words)
    assert stored.display.padding == (padding, padding)
    assert stored.remark == ""


def test_bits_of_one_byte_are_looked_at_too(tmp_path: Path) -> None:
    stored = read_pixels(native(tmp_path / "a.dcm", EIGHT, BitsStored=6, HighBit=5))

    np.testing.assert_array_equal(stored.values, EIGHT)
    assert "8 bits" in stored.remark


def test_each_frame_of_run_length_is_read_by_the_same_rule(tmp_path: Path) -> None:
    one = run_length(tmp_path / "a.dcm", FOURTEEN)
    frame = get_frame(pydicom.dcmread(one).PixelData, 0, number_of_frames=1)
    file = encapsulated(tmp_path / "b.dcm", TWELVE, RLELossless, frame, frame, NumberOfFrames=2)

    stored = read_pixels(file, 2)

    np.testing.assert_array_equal(stored.values, FOURTEEN)


def test_values_that_lie_in_the_bits_above_alone_are_kept(tmp_path: Path) -> None:
    values = np.rint(BREAST * 15).astype(np.uint16) << 12

    stored = read_pixels(native(tmp_path / "a.dcm", values))

    np.testing.assert_array_equal(stored.values, values)


def test_large_image_with_more_bits_is_read_within_the_memory_of_a_decoder(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:4096, 0:3328]
    values = (rows + columns * 3 + 3000).astype(np.uint16)
    values[::7, ::5] |= 0x8000
    file = native(tmp_path / "a.dcm", values, BitsStored=15, HighBit=14)

    with DecodingPool() as pool:
        stored = pool.read_image(file, 1)

    np.testing.assert_array_equal(stored.values, values & 0x7FFF)
