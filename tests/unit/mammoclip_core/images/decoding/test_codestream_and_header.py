"""Where codestream and header disagree, the codestream's precision and sign count."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from core_factory import PUBLISHED, encapsulated
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import (
    JPEG2000,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.preprocessing import prepare

RAMP = np.tile(np.linspace(0, 1, 96), (80, 1))
FOURTEEN = np.rint(RAMP * 16383).astype(np.uint16)
SIXTEEN = np.rint(RAMP * 65535).astype(np.uint16)
TWELVE = np.rint(RAMP * 4095).astype(np.uint16)
SIGNED = np.rint(RAMP * 4095 - 2048).astype(np.int16)


def compressed(path: Path, transfer_syntax: str, *frames: bytes, **attributes: Any) -> Path:
    return encapsulated(path, TWELVE, transfer_syntax, *frames, **attributes)


def j2k(values: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(
        values, level=0, codecformat="j2k", reversible=True, bitspersample=bits
    )


def jpeg(values: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=bits)


def jpegls(values: NDArray[Any], _bits: int) -> bytes:
    return imagecodecs.jpegls_encode(values)


LOSSLESS = {JPEG2000Lossless: j2k, JPEG2000: j2k, JPEGLosslessSV1: jpeg, JPEGLSLossless: jpegls}


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_values_beyond_the_headers_bits_are_kept(tmp_path: Path, syntax: str) -> None:
    file = compressed(
        tmp_path / "a.dcm", syntax, LOSSLESS[syntax](FOURTEEN, 14), BitsStored=12, HighBit=11
    )

    stored = read_pixels(file)

    np.testing.assert_array_equal(stored.values, FOURTEEN)
    assert stored.bits_stored >= 14
    assert "14 bits" in stored.remark or "16 bits" in stored.remark
    assert prepare(stored, PUBLISHED).remark == stored.remark


@pytest.mark.parametrize("bits_stored", [10, 12, 16])
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit, *LOSSLESS])
def test_codestream_of_8_bits_under_a_header_of_more_fails_with_the_reason(
    tmp_path: Path, syntax: str, bits_stored: int
) -> None:
    encode = LOSSLESS.get(syntax, lambda values, _bits: imagecodecs.jpeg8_encode(values, level=95))
    frame = encode((TWELVE >> 4).astype(np.uint8), 8)
    file = compressed(
        tmp_path / "a.dcm", syntax, frame, BitsStored=bits_stored, HighBit=bits_stored - 1
    )

    with pytest.raises(PixelError, match=f"holds 8 bits, the header says {bits_stored}: which"):
        read_pixels(file)


def test_values_of_high_throughput_codestream_are_kept(tmp_path: Path) -> None:
    frame = imagecodecs.htj2k_encode(FOURTEEN)

    stored = read_pixels(
        compressed(tmp_path / "a.dcm", HTJ2KLossless, frame, BitsStored=12, HighBit=11)
    )

    np.testing.assert_array_equal(stored.values, FOURTEEN)
    assert stored.remark


def test_sign_of_high_throughput_codestream_is_kept(tmp_path: Path) -> None:
    frame = imagecodecs.htj2k_encode(SIGNED)

    stored = read_pixels(
        compressed(tmp_path / "a.dcm", HTJ2KLossless, frame, BitsStored=12, HighBit=11)
    )

    np.testing.assert_array_equal(stored.values, SIGNED)
    assert "with sign" in stored.remark


@pytest.mark.parametrize("bits", [12, 16])
def test_signed_codestream_under_an_unsigned_header_is_signed(tmp_path: Path, bits: int) -> None:
    file = compressed(
        tmp_path / "a.dcm",
        JPEG2000Lossless,
        j2k(SIGNED, bits),
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=0,
    )

    stored = read_pixels(file)

    np.testing.assert_array_equal(stored.values, SIGNED)
    assert "with sign" in stored.remark


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(("stored_bits", "bits"), [(12, 16), (14, 12), (16, 12), (12, 12)])
def test_nothing_is_remarked_where_all_values_fit_the_header(
    tmp_path: Path, syntax: str, stored_bits: int, bits: int
) -> None:
    frame = LOSSLESS[syntax](TWELVE, bits)
    file = compressed(
        tmp_path / "a.dcm", syntax, frame, BitsStored=stored_bits, HighBit=stored_bits - 1
    )

    stored = read_pixels(file)

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert (stored.bits_stored, stored.remark) == (stored_bits, "")


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_unsigned_values_under_a_signed_header_of_as_many_bits_are_kept(
    tmp_path: Path, syntax: str
) -> None:
    frame = LOSSLESS[syntax](TWELVE, 12)

    stored = read_pixels(compressed(tmp_path / "a.dcm", syntax, frame, PixelRepresentation=1))

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert "without sign" in stored.remark


@pytest.mark.parametrize(("bits", "header_bits"), [(14, 12), (16, 12), (16, 16)])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_values_without_sign_are_kept_under_a_signed_header(
    tmp_path: Path, syntax: str, bits: int, header_bits: int
) -> None:
    values = SIXTEEN >> 16 - bits
    frame = LOSSLESS[syntax](values, bits)
    header = {"BitsStored": header_bits, "HighBit": header_bits - 1, "PixelRepresentation": 1}

    stored = read_pixels(compressed(tmp_path / "a.dcm", syntax, frame, **header))

    np.testing.assert_array_equal(stored.values, values)
    # This encoder of JPEG-LS writes 14 bits as 16, whose highest none of them reaches.
    stated = f"{bits} bits without" if (syntax, bits) != (JPEGLSLossless, 14) else "16 bits with"
    assert f"hold {stated} sign, the header says {header_bits} bits with sign" in stored.remark


def test_samples_of_lossy_jpeg_have_no_sign(tmp_path: Path) -> None:
    # Nothing in them tells it: half of them are black, the others white.
    values = np.where(RAMP < 0.5, 0, 255).astype(np.uint8)
    frame = imagecodecs.jpeg8_encode(values, level=100)

    stored = read_pixels(
        compressed(tmp_path / "a.dcm", JPEGBaseline8Bit, frame, **EIGHT, PixelRepresentation=1)
    )

    np.testing.assert_allclose(stored.values, values, atol=4)
    assert stored.remark == (
        "the compressed pixel data hold 8 bits without sign, the header says 8 bits with sign: "
        "read as the pixel data say"
    )


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless])
def test_signed_values_in_more_bits_than_an_unsigned_header_says_keep_their_sign(
    tmp_path: Path, syntax: str
) -> None:
    frame = LOSSLESS[syntax](SIGNED.view(np.uint16), 16)

    stored = read_pixels(compressed(tmp_path / "a.dcm", syntax, frame))

    np.testing.assert_array_equal(stored.values, SIGNED)
    assert "16 bits with sign, the header says 12 bits without sign" in stored.remark


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_values_at_the_low_end_of_the_codestream_are_not_moved_down(
    tmp_path: Path, syntax: str, bits: int
) -> None:
    file = compressed(tmp_path / "a.dcm", syntax, LOSSLESS[syntax](TWELVE, bits), HighBit=15)

    stored = read_pixels(file)

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert stored.remark == (
        "the compressed pixel data hold 12 bits, the header places 12 bits up to bit 15: "
        "read as the pixel data say"
    )


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless])
def test_values_at_the_high_end_of_a_codestream_are_moved_down(tmp_path: Path, syntax: str) -> None:
    frame = LOSSLESS[syntax](TWELVE << 4, 16)

    stored = read_pixels(compressed(tmp_path / "a.dcm", syntax, frame, HighBit=15))

    np.testing.assert_array_equal(stored.values, TWELVE)
    assert stored.remark == ""


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless])
def test_signed_values_in_more_bits_than_the_header_says_keep_their_sign(
    tmp_path: Path, syntax: str
) -> None:
    frame = LOSSLESS[syntax](SIGNED.view(np.uint16), 16)

    stored = read_pixels(compressed(tmp_path / "a.dcm", syntax, frame, PixelRepresentation=1))

    np.testing.assert_array_equal(stored.values, SIGNED)


def test_bit_patterns_of_signed_values_in_an_unsigned_codestream_are_remarked(
    tmp_path: Path,
) -> None:
    # As older encoders write them, and common readers read them.
    patterns = (SIGNED & 0xFFF).astype(np.uint16)

    stored = read_pixels(
        compressed(tmp_path / "a.dcm", JPEG2000Lossless, j2k(patterns, 12), PixelRepresentation=1)
    )

    np.testing.assert_array_equal(stored.values, SIGNED)
    assert stored.remark == (
        "the compressed pixel data hold 12 bits without sign, the header says 12 bits with sign: "
        "read as the header says"
    )


def test_unsigned_codestream_of_small_values_under_a_signed_header_needs_no_remark(
    tmp_path: Path,
) -> None:
    frame = j2k(TWELVE // 2, 12)

    stored = read_pixels(
        compressed(tmp_path / "a.dcm", JPEG2000Lossless, frame, PixelRepresentation=1)
    )

    np.testing.assert_array_equal(stored.values, TWELVE // 2)
    assert stored.remark == ""


def test_image_whose_negative_values_cannot_be_told_is_refused(tmp_path: Path) -> None:
    file = compressed(
        tmp_path / "a.dcm",
        JPEGLosslessSV1,
        jpeg(TWELVE, 12),
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
    )

    with pytest.raises(PixelError, match="which values are negative cannot be told"):
        read_pixels(file)


EIGHT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
WITHOUT_END = {
    JPEG2000Lossless: j2k(TWELVE, 12),
    HTJ2KLossless: imagecodecs.htj2k_encode(TWELVE),
    JPEGLosslessSV1: jpeg(TWELVE, 12),
    JPEGLSLossless: imagecodecs.jpegls_encode(TWELVE),
    JPEGBaseline8Bit: imagecodecs.jpeg8_encode((TWELVE >> 4).astype(np.uint8)),
}


@pytest.mark.parametrize("syntax", WITHOUT_END)
@pytest.mark.parametrize("filler", [b"", b"\xff", b"\xff\xff"])
def test_frame_that_lacks_its_end_marker_alone_is_read(
    tmp_path: Path, syntax: str, filler: bytes
) -> None:
    whole = WITHOUT_END[syntax]
    eight = EIGHT if syntax == JPEGBaseline8Bit else {}
    expected = read_pixels(compressed(tmp_path / "a.dcm", syntax, whole, **eight))

    stored = read_pixels(compressed(tmp_path / "b.dcm", syntax, whole[:-2] + filler, **eight))

    np.testing.assert_array_equal(stored.values, expected.values)


@pytest.mark.parametrize("syntax", WITHOUT_END)
@pytest.mark.parametrize("padding", [1, 2, 65, 1000])
def test_padding_behind_the_end_marker_is_passed_over(
    tmp_path: Path, syntax: str, padding: int
) -> None:
    eight = EIGHT if syntax == JPEGBaseline8Bit else {}
    frame = WITHOUT_END[syntax] + bytes(padding)

    assert read_pixels(compressed(tmp_path / "a.dcm", syntax, frame, **eight)).values.any()


@pytest.mark.parametrize("syntax", WITHOUT_END)
@pytest.mark.parametrize("cut", [10, 20, 100])
def test_frame_that_lacks_more_is_refused(tmp_path: Path, syntax: str, cut: int) -> None:
    eight = EIGHT if syntax == JPEGBaseline8Bit else {}
    frame = WITHOUT_END[syntax][:-cut]

    with pytest.raises(PixelError, match=r"truncated|no frame header"):
        read_pixels(compressed(tmp_path / "a.dcm", syntax, frame, **eight))


def test_frame_whose_last_byte_may_be_padding_is_refused_where_that_byte_counts(
    tmp_path: Path,
) -> None:
    # Without its end marker and its last byte of data, made even by a byte of 0.
    whole = j2k(TWELVE, 12)
    read = imagecodecs.jpeg2k_decode
    frame = whole[:-3] + b"\0"
    assert len(frame) % 2 == 0
    assert not np.array_equal(read(frame + b"\xff\xd9"), read(whole))

    with pytest.raises(PixelError, match="truncated"):
        read_pixels(compressed(tmp_path / "a.dcm", JPEG2000Lossless, frame))


def tiled() -> tuple[bytes, list[bytes]]:
    """Return the main header of a JPEG 2000 codestream of 9 tiles, and its tile-parts."""
    encoded = io.BytesIO()
    Image.fromarray((TWELVE >> 4).astype(np.uint8)).save(
        encoded, "JPEG2000", tile_size=(32, 32), irreversible=False, no_jp2=True
    )
    first, *others = encoded.getvalue().removesuffix(b"\xff\xd9").split(b"\xff\x90\x00\x0a")
    return first, [b"\xff\x90\x00\x0a" + one for one in others]


@pytest.mark.parametrize("lacking", [None, 0, 4, 8])
def test_frame_that_is_closed_without_all_of_its_tiles_is_refused(
    tmp_path: Path, lacking: int | None
) -> None:
    # A decoder leaves the tiles that are not there black.
    header, parts = tiled()
    kept = [part for number, part in enumerate(parts) if number != lacking]
    frame = header + b"".join(kept) + b"\xff\xd9"
    file = compressed(tmp_path / "a.dcm", JPEG2000Lossless, frame, **EIGHT)

    if lacking is None:
        np.testing.assert_array_equal(read_pixels(file).values, TWELVE >> 4)
    else:
        with pytest.raises(PixelError, match="truncated"):
            read_pixels(file)


NOISE = np.random.default_rng(7).integers(0, 4096, RAMP.shape).astype(np.uint16)
CLOSED_TOO_EARLY = {
    **{
        name: (encode(NOISE, 12), syntax)
        for name, encode, syntax in (
            ("JPEG 2000", j2k, JPEG2000Lossless),
            ("JPEG lossless", jpeg, JPEGLosslessSV1),
            ("JPEG-LS", jpegls, JPEGLSLossless),
        )
    },
    "JPEG of 8 bits": (imagecodecs.jpeg8_encode((NOISE >> 4).astype(np.uint8)), JPEGBaseline8Bit),
    "JPEG of 12 bits": (imagecodecs.jpeg8_encode(NOISE, bitspersample=12), JPEGExtended12Bit),
}


@pytest.mark.parametrize("name", CLOSED_TOO_EARLY)
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
def test_frame_that_is_closed_before_its_last_pixels_is_refused(
    tmp_path: Path, name: str, kept: float
) -> None:
    frame, syntax = CLOSED_TOO_EARLY[name]
    eight = EIGHT if syntax == JPEGBaseline8Bit else {}
    cut = frame[: int(kept * len(frame))] + b"\xff\xd9"

    with pytest.raises(PixelError, match=r"truncated|cannot be decoded"):
        read_pixels(compressed(tmp_path / "a.dcm", syntax, cut, **eight))


def test_frame_of_values_beyond_its_own_precision_is_refused(tmp_path: Path) -> None:
    frame = jpeg(NOISE, 12)
    damaged = frame[: len(frame) // 2] + bytes(2000) + frame[len(frame) // 2 + 2000 :]

    with pytest.raises(PixelError, match="more than its 12 bits hold"):
        read_pixels(compressed(tmp_path / "a.dcm", JPEGLosslessSV1, damaged))
