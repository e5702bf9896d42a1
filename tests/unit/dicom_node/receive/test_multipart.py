"""Parts of a message are read as they come, however they are cut, and within bounds."""

import io
from collections.abc import Callable

import pytest

from dicom_node.receive.files.multipart import BrokenMessageError, Multipart


def message(*files: bytes, end: bool = True) -> bytes:
    head = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n"
    parts = [head + file + b"\r\n" for file in files]
    return b"".join(parts) + (b"--frontier--\r\n" if end else b"")


FILES = (b"first", b"", b"\r\n--fronti\r\n\r\n--", bytes(300) + b"\r\n-")


def read_in(body: bytes, size: int) -> Callable[[], bytes]:
    stream = io.BytesIO(body)
    return lambda: stream.read(size)


def parts_of(body: bytes, size: int = 7, longest: int = 10_000) -> list[bytes]:
    reading = Multipart(read_in(body, size), b"frontier", longest_part_bytes=longest)
    return [part.read(100_000) for part in reading.parts()]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
def test_parts_are_what_was_sent_however_the_bytes_are_cut(size: int) -> None:
    assert parts_of(message(*FILES), size) == list(FILES)


def test_headers_are_found_by_their_names_in_lower_case() -> None:
    reading = Multipart(read_in(message(b"x"), 9), b"frontier", longest_part_bytes=10)

    assert [dict(part.headers) for part in reading.parts()] == [
        {"content-type": "application/dicom"}
    ]


def test_part_is_read_in_pieces_of_the_size_that_is_asked_for() -> None:
    reading = Multipart(read_in(message(b"abcdefghij"), 3), b"frontier", longest_part_bytes=10)

    (pieces,) = [
        [part.read(4), part.read(4), part.read(4), part.read(4)] for part in reading.parts()
    ]

    assert pieces == [b"abcd", b"efgh", b"ij", b""]


def test_what_is_left_of_a_part_is_skipped() -> None:
    reading = Multipart(read_in(message(b"abc", b"def"), 5), b"frontier", longest_part_bytes=10)

    assert [part.read(1) for part in reading.parts()] == [b"a", b"d"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no message at all",
        message(b"x", end=False),
        message(b"x")[:-20],
        b"--frontier\r\n" + b"X: y\r\n" * 1000,
        b"--frontier\r\nX: " + b"y" * 100_000,
        b"--frontier\r\nX" + b"y" * 100_000,
    ],
)
def test_message_that_is_none_or_ends_early_is_told_as_such(body: bytes) -> None:
    with pytest.raises(BrokenMessageError):
        parts_of(body)


def test_part_without_end_is_not_skipped_for_ever() -> None:
    reading = Multipart(
        lambda: bytes(1000) if began else began.append(1) or message(b"", end=False)[:-2],
        b"frontier",
        longest_part_bytes=10_000,
    )
    began: list[int] = []

    with pytest.raises(BrokenMessageError, match="larger than any object"):
        list(reading.parts())
