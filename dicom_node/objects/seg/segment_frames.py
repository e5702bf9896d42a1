"""The regions of one image as the frames of a Segmentation, in bits or in bytes."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.outlines import fill_band
from mammoclip_core.findings import Region

FULL: Final = 255
"""Value of a pixel in a frame of bytes that lies within a region."""


def packed_frames(
    regions: Sequence[Region], size: tuple[int, int], owner: str
) -> tuple[bytes, bool]:
    """Pack one frame for each region, without ever holding a frame of bytes.

    A region covers a small part of a mammogram, so only the rows that it touches are drawn.

    Parameters
    ----------
    size : (rows, columns) of the source image
    owner : SOP Instance UID, for the message

    Returns
    -------
    bytes, bool
        The frames one behind the other, the first pixel in the lowest bit, as long as an even
        number of bytes; and whether two regions share a pixel.

    Raises
    ------
    ObjectRefusedError
        A vertex lies outside the image, or a region covers no pixel.

    References
    ----------
    PS3.5 8.1.1, A.2 (bits of a frame follow those of the frame before without padding).
    """
    pixels = size[0] * size[1]
    length = (len(regions) * pixels + 7) // 8
    packed = np.zeros(length + length % 2, dtype=np.uint8)
    covered = np.zeros(size, dtype=np.bool_)
    overlap = False
    for number, top, band in _bands(regions, size, owner):
        overlap |= _cover(covered, top, band)
        _add_bits(packed, number * pixels + top * size[1], band)
    return packed.tobytes(), overlap


def byte_frames(regions: Sequence[Region], size: tuple[int, int], owner: str) -> tuple[bytes, bool]:
    """Write one frame for each region, a byte for each pixel: 0, or `FULL` where the region is.

    Parameters, returned values and errors are those of `packed_frames`.
    """
    frames = np.zeros((len(regions), *size), dtype=np.uint8)
    covered = np.zeros(size, dtype=np.bool_)
    overlap = False
    for number, top, band in _bands(regions, size, owner):
        overlap |= _cover(covered, top, band)
        frames[number, top : top + len(band)][band] = FULL
    values = frames.tobytes()
    return values + b"\0" * (len(values) % 2), overlap


def _bands(
    regions: Sequence[Region], size: tuple[int, int], owner: str
) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    for number, region in enumerate(regions):
        top, band = fill_band(region, size, owner)
        # highdicom would write an all-zero frame without a word, and viewers fail on it.
        if not band.any():
            raise ObjectRefusedError(f"a region of instance {owner} covers no pixel")
        yield number, top, band


def _cover(covered: NDArray[np.bool_], top: int, band: NDArray[np.bool_]) -> bool:
    """Add a region to what is covered, and tell whether a part of it was before."""
    rows = covered[top : top + len(band)]
    shared = bool((rows & band).any())
    rows |= band
    return shared


def _add_bits(packed: NDArray[np.uint8], first_bit: int, band: NDArray[np.bool_]) -> None:
    lead = first_bit % 8
    bits = np.packbits(np.concatenate([np.zeros(lead, np.bool_), band.ravel()]), bitorder="little")
    start = first_bit // 8
    packed[start : start + len(bits)] |= bits
