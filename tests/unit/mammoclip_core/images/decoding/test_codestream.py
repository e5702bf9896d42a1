import struct

import imagecodecs
import numpy as np
import pytest

from mammoclip_core.images.decoding.codestream import CodestreamSize, codestream_size, is_complete

IMAGE = np.random.default_rng(0).integers(0, 4096, (70, 90)).astype(np.uint16)
FRAMES = {
    "jpeg": imagecodecs.jpeg8_encode(IMAGE, lossless=True, bitspersample=12),
    "jpeg 8": imagecodecs.jpeg8_encode((IMAGE >> 4).astype(np.uint8)),
    "jpeg-ls": imagecodecs.jpegls_encode(IMAGE),
    "jpeg 2000": imagecodecs.jpeg2k_encode(IMAGE, codecformat="j2k", bitspersample=12),
    "jp2 file": imagecodecs.jpeg2k_encode(IMAGE, codecformat="jp2", bitspersample=12),
    "htj2k": imagecodecs.htj2k_encode(IMAGE),
}


@pytest.mark.parametrize("name", FRAMES)
def test_size_is_read_before_decoding(name: str) -> None:
    size = codestream_size(FRAMES[name])

    assert (size.rows, size.columns, size.samples) == (70, 90, 1)


def test_offset_of_the_image_is_taken_off_its_size() -> None:
    frame = bytearray(FRAMES["jpeg 2000"])
    struct.pack_into(">IIII", frame, 8, 90 + 7, 70 + 5, 7, 5)

    size = codestream_size(bytes(frame))

    assert (size.rows, size.columns) == (70, 90)


def test_bits_are_read_before_decoding() -> None:
    assert codestream_size(FRAMES["jpeg"]) == CodestreamSize(
        rows=70, columns=90, samples=1, bits=12
    )


def test_color_is_seen_before_decoding() -> None:
    frame = imagecodecs.jpeg8_encode(np.zeros((16, 16, 3), np.uint8))

    assert codestream_size(frame).samples == 3


@pytest.mark.parametrize("name", FRAMES)
def test_any_prefix_gives_the_size_or_a_value_error(name: str) -> None:
    frame = FRAMES[name]

    sizes = set()
    for length in range(200):
        try:
            sizes.add(codestream_size(frame[:length]))
        except ValueError:
            continue

    assert sizes <= {codestream_size(frame)}


@pytest.mark.parametrize("name", FRAMES)
def test_truncated_frame_is_not_complete(name: str) -> None:
    assert is_complete(FRAMES[name] + b"\0")
    assert not is_complete(FRAMES[name][:-100])


@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"BM123456", b"\xff" * 99]
)
def test_what_is_no_codestream_is_refused(frame: bytes) -> None:
    with pytest.raises(ValueError, match=r"JPEG|marker"):
        codestream_size(frame)
