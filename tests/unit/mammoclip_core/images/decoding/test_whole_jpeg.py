"""One pass over a JPEG frame tells whether all of it is there."""

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessSV1

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding import frame_decoding
from mammoclip_core.images.decoding.frame_decoding import FrameLayout, decode_frame
from mammoclip_core.images.decoding.whole_jpeg import decoded_if_whole

END = b"\xff\xd9"
VALUES = np.random.default_rng(3).integers(0, 4096, (83, 95)).astype(np.uint16)
EIGHT = (VALUES >> 4).astype(np.uint8)
FRAMES = {
    "8 bits": (imagecodecs.jpeg8_encode(EIGHT, level=90), JPEGBaseline8Bit),
    "12 bits": (imagecodecs.jpeg8_encode(VALUES, level=90, bitspersample=12), JPEGExtended12Bit),
    "lossless": (
        imagecodecs.jpeg8_encode(VALUES, lossless=True, bitspersample=12),
        JPEGLosslessSV1,
    ),
}


def layout_of(values: NDArray[Any]) -> FrameLayout:
    bits = 8 * values.dtype.itemsize
    return FrameLayout(
        sop_instance_uid="1.2.3",
        rows=values.shape[0],
        columns=values.shape[1],
        bits_allocated=bits,
        bits_stored=min(bits, 12),
        high_bit=min(bits, 12) - 1,
        signed=False,
        frames=1,
    )


def layout(name: str) -> FrameLayout:
    return layout_of(EIGHT if name == "8 bits" else VALUES)


def saved(**options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", FRAMES)
def test_whole_frame_is_decoded_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, syntax = FRAMES[name]
    decode = imagecodecs.jpeg8_decode
    expected, passes = decode(frame), []

    def counted(data: bytes) -> NDArray[Any]:
        passes.append(len(data))
        return decode(data)

    monkeypatch.setattr(imagecodecs, "jpeg8_decode", counted)
    monkeypatch.setitem(frame_decoding._DECODERS, syntax, counted)

    decoded = decode_frame(frame, syntax, layout(name))

    assert len(passes) == 1
    np.testing.assert_array_equal(decoded.values, expected)


@pytest.mark.parametrize("cut", [*range(1, 40), 200, 2000])
@pytest.mark.parametrize("name", FRAMES)
def test_frame_that_is_closed_too_early_is_refused(name: str, cut: int) -> None:
    frame, syntax = FRAMES[name]
    body = frame[: -len(END) - cut]
    if body.endswith(b"\xff"):
        body = body[:-1]

    with pytest.raises(PixelError, match="truncated"):
        decode_frame(body + END, syntax, layout(name))


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("shape", [(80, 96), (83, 95)])
def test_frame_of_one_grey_is_read(grey: int, shape: tuple[int, int]) -> None:
    values = np.full(shape, grey, np.uint8)
    frame = imagecodecs.jpeg8_encode(values, level=90)

    decoded = decode_frame(frame, JPEGBaseline8Bit, layout_of(values))

    np.testing.assert_array_equal(decoded.values, values)


@pytest.mark.parametrize("grey", [0, 2048, 4095])
def test_lossless_frame_of_one_grey_is_read(grey: int) -> None:
    values = np.full((83, 95), grey, np.uint16)
    frame = imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=12)

    decoded = decode_frame(frame, JPEGLosslessSV1, layout_of(values))

    np.testing.assert_array_equal(decoded.values, values)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"restart_marker_blocks": 4}, {"restart_marker_rows": 1}]
)
def test_frame_of_another_coding_is_left_to_a_second_pass(options: dict[str, Any]) -> None:
    frame = saved(quality=90, **options)

    assert decoded_if_whole(frame, imagecodecs.jpeg8_decode) is None
    decoded = decode_frame(frame, JPEGBaseline8Bit, layout("8 bits"))
    np.testing.assert_array_equal(decoded.values, imagecodecs.jpeg8_decode(frame))


def test_frame_of_several_components_is_left_to_a_second_pass() -> None:
    frame = imagecodecs.jpeg8_encode(np.dstack([EIGHT] * 3), level=90)

    assert decoded_if_whole(frame, imagecodecs.jpeg8_decode) is None


@pytest.mark.parametrize("length", range(2, 40))
def test_frame_that_ends_in_its_header_is_no_error_of_ours(length: int) -> None:
    frame = FRAMES["8 bits"][0]

    assert decoded_if_whole(frame[:length], imagecodecs.jpeg8_decode) is None
