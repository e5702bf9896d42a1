"""The pixels of a picture in an object, in a compressed transfer syntax."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.multival import MultiValue
from pydicom.uid import UID, JPEGBaseline8Bit, RLELossless

from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.elements.header_values import element_of
from dicom_node.objects.sc.rle_frame import rle_frame

_JPEG_QUALITY: Final = 92
_JPEG_METHOD: Final = "ISO_10918_1"


class Compression(StrEnum):
    """How the pixels of pictures are sent: decompressed, without losses, or with losses."""

    NONE = "none"
    RLE = "rle"
    JPEG = "jpeg"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureForm:
    """What a destination may choose of its pictures."""

    style: PictureStyle = PictureStyle.COLOR
    compression: Compression = Compression.RLE

    @property
    def variant(self) -> str:
        """Return what tells pictures of this form from those of another.

        Without losses a picture is the same one, however it is sent: it is made once.
        """
        if self.compression is Compression.JPEG:
            return f"{self.style} {self.compression}"
        return self.style.value


DEFAULT_FORM: Final = PictureForm()


def set_pixels(
    capture: Dataset, pixels: NDArray[np.uint8], form: PictureForm, sources: Sequence[Dataset]
) -> None:
    """Write an RGB picture, in the grey style as grey levels, by RLE unless JPEG is asked for.

    Who is to get it uncompressed is sent it so: on the disk that would take five times the room.

    Parameters
    ----------
    capture : its file meta information is there already
    pixels : (rows, columns, 3) in RGB
    sources : headers of the images that it shows; where one was compressed with losses, the
        picture remembers it

    References
    ----------
    PS3.3 C.7.6.3, C.7.6.1.1.5; PS3.5 8.2.1 (JPEG baseline), annex G (RLE).
    """
    if form.style is PictureStyle.GREY:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        capture.SamplesPerPixel, capture.PhotometricInterpretation = 1, "MONOCHROME2"
    else:
        capture.SamplesPerPixel, capture.PhotometricInterpretation = 3, "RGB"
    capture.Rows, capture.Columns = pixels.shape[:2]
    capture.BitsAllocated, capture.BitsStored, capture.HighBit = 8, 8, 7
    capture.PixelRepresentation = 0
    _copy_lossy_compression(capture, sources)
    if form.compression is Compression.JPEG:
        _set_jpeg(capture, pixels)
        return
    if capture.SamplesPerPixel == 3:
        # By planes, as the segments of a frame are (PS3.5 G.2).
        capture.PlanarConfiguration = 1
    _set_frame(capture, rle_frame(pixels), RLELossless)


def _set_jpeg(capture: Dataset, pixels: NDArray[Any]) -> None:
    stream = io.BytesIO()
    # The one subsampling of colour that a Secondary Capture may have (PS3.3 C.7.6.3.1.2).
    Image.fromarray(pixels).save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling="4:2:2")
    if capture.SamplesPerPixel == 3:
        capture.PhotometricInterpretation, capture.PlanarConfiguration = "YBR_FULL_422", 0
    _set_frame(capture, stream.getvalue(), JPEGBaseline8Bit)
    ratio = round(pixels.nbytes / stream.tell(), 2)
    capture.LossyImageCompression = "01"
    capture.LossyImageCompressionRatio = [*_values(capture, "LossyImageCompressionRatio"), ratio]
    capture.LossyImageCompressionMethod = [
        *_values(capture, "LossyImageCompressionMethod"),
        _JPEG_METHOD,
    ]


def _set_frame(capture: Dataset, frame: bytes, syntax: UID) -> None:
    capture.PixelData = encapsulate([frame])
    capture["PixelData"].VR = "OB"
    capture["PixelData"].is_undefined_length = True
    capture.file_meta.TransferSyntaxUID = syntax


def _copy_lossy_compression(capture: Dataset, sources: Sequence[Dataset]) -> None:
    """Keep the memory of a lossy source, which is never lost again (PS3.3 C.7.6.1.1.5)."""
    lossy = [source for source in sources if source.get("LossyImageCompression") == "01"]
    capture.LossyImageCompression = "01" if lossy else "00"
    if not lossy:
        return
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        element = element_of(lossy[0], keyword)
        if element is not None:
            capture[keyword] = element


def _values(capture: Dataset, keyword: str) -> list[Any]:
    value = capture.get(keyword)
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, MultiValue) else [value]
