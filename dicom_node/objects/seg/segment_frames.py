"""The regions of one image as the frames of a Segmentation, in bits or in bytes."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.findings.outlines import fill_band
from dicom_node.objects.seg.segmentation_modules import FULL
from mammoclip_core.findings import Region


def packed_frames(
    regions: Sequence[Region], size: tuple[int, int], owner: str
) -> tuple[bytearray, bool]:
    """Pack one frame for each region, without ever holding a frame of bytes.

    A region covers a small part of a mammogram, so only the rows that it touches are drawn.

    Parameters
    ----------
    size : (rows, columns) of the source image
    owner : SOP Instance UID, for the message

    Returns
    -------
    bytearray, bool
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
    packed = bytearray(length + length % 2)
    covered = _Covered(size)
    for number, top, band in _bands(regions, size, owner):
        covered.add(top, band)
        _add_bits(np.frombuffer(packed, dtype=np.uint8), number * pixels + top * size[1], band)
    return packed, covered.twice


def byte_frames(
    regions: Sequence[Region], size: tuple[int, int], owner: str
) -> tuple[bytearray, bool]:
    """Write one frame for each region, a byte for each pixel: 0, or `FULL` where the region is.

    Parameters, returned values and errors are those of `packed_frames`.
    """
    rows, columns = size
    length = len(regions) * rows * columns
    values = bytearray(length + length % 2)
    frames = np.frombuffer(values, dtype=np.uint8, count=length).reshape(-1, rows, columns)
    covered = _Covered(size)
    for number, top, band in _bands(regions, size, owner):
        covered.add(top, band)
        frames[number, top : top + len(band)][band] = FULL
    return values, covered.twice


def _bands(
    regions: Sequence[Region], size: tuple[int, int], owner: str
) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    for number, region in enumerate(regions):
        top, band = fill_band(region, size, owner)
        # highdicom would write an all-zero frame without a word, and viewers fail on it.
        if not band.any():
            raise ObjectRefusedError(f"a region of instance {owner} covers no pixel")
        yield number, top, band


class _Covered:
    """Which pixels of an image lie in a region, a bit for each, and whether any lies in two."""

    def __init__(self, size: tuple[int, int]) -> None:
        rows, columns = size
        self._bits = np.zeros((rows, (columns + 7) // 8), dtype=np.uint8)
        self.twice = False

    def add(self, top: int, band: NDArray[np.bool_]) -> None:
        """Add a region: the first of the rows that it touches, and these rows."""
        rows = self._bits[top : top + len(band)]
        own = np.packbits(band, axis=1)
        self.twice = self.twice or bool((rows & own).any())
        rows |= own


def _add_bits(packed: NDArray[np.uint8], first_bit: int, band: NDArray[np.bool_]) -> None:
    lead = first_bit % 8
    bits = np.packbits(np.concatenate([np.zeros(lead, np.bool_), band.ravel()]), bitorder="little")
    start = first_bit // 8
    packed[start : start + len(bits)] |= bits
