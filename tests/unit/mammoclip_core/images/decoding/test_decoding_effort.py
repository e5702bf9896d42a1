"""Codestreams that ask for far more work than their pixels need are refused before decoding."""

import imagecodecs
import numpy as np
import pytest

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.codestream import MAX_SCANS, check_effort
from mammoclip_core.images.decoding.frame_decoding import decode_frame
from mammoclip_core.images.decoding.stored_values import FrameLayout

_VALUES = np.random.default_rng(1).integers(0, 4096, (600, 500), np.uint16)


def _with_precincts(exponent: int, *, rows: int = 8192, columns: int = 8192) -> bytes:
    """Return the main header of a JPEG 2000 codestream, with one size of precinct at 6 levels."""
    size = b"".join(item.to_bytes(4, "big") for item in (columns, rows, 0, 0) * 2)
    size = b"\0\0" + size + b"\0\1" + bytes((11, 1, 1))
    style = bytes((1, 0, 0, 1, 0, 5, 4, 4, 0, 1)) + bytes((exponent << 4 | exponent,)) * 6
    segments = ((0x51, size), (0x52, style))
    return (
        b"\xff\x4f"
        + b"".join(
            bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content
            for marker, content in segments
        )
        + b"\xff\x90"
    )


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_tiny_precincts_are_refused_by_the_size_of_the_image(exponent: int) -> None:
    with pytest.raises(ValueError, match="tiles and precincts, more than"):
        check_effort(_with_precincts(exponent))


@pytest.mark.parametrize("exponent", [5, 6, 7, 8, 15])
def test_usual_precincts_are_taken(exponent: int) -> None:
    check_effort(_with_precincts(exponent))


def test_an_image_of_tiny_precincts_fails_with_its_uid_and_the_reason() -> None:
    layout = FrameLayout(
        sop_instance_uid="1.2.3",
        rows=8192,
        columns=8192,
        bits_allocated=16,
        bits_stored=12,
        high_bit=11,
        signed=False,
        frames=1,
    )

    with pytest.raises(PixelError, match=r"1\.2\.3: the JPEG 2000 codestream has .* precincts"):
        decode_frame(_with_precincts(0), "1.2.840.10008.1.2.4.90", layout)


def test_small_images_may_have_small_precincts() -> None:
    check_effort(_with_precincts(2, rows=64, columns=64))


def test_a_header_that_ends_too_early_is_said() -> None:
    with pytest.raises(ValueError, match="ends in its header"):
        check_effort(_with_precincts(7)[:-4])


def test_more_scans_than_any_encoder_writes_are_refused() -> None:
    frame = imagecodecs.jpeg8_encode((_VALUES >> 4).astype(np.uint8))
    scan = frame[frame.find(b"\xff\xda") : -2]

    check_effort(frame)
    with pytest.raises(ValueError, match=f"more than {MAX_SCANS}"):
        check_effort(frame[:-2] + scan * MAX_SCANS + frame[-2:])


def test_what_encoders_write_is_taken() -> None:
    for frame in (
        imagecodecs.jpeg2k_encode(_VALUES, level=0, codecformat="J2K"),
        imagecodecs.jpeg2k_encode(_VALUES, level=0, codecformat="JP2"),
        imagecodecs.jpegls_encode(_VALUES),
        imagecodecs.ljpeg_encode(_VALUES),
    ):
        check_effort(frame)
