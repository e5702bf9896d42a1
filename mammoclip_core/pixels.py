"""From a DICOM file to the stored values of one frame: the one room that knows pydicom."""

import math
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import pydicom
import pydicom.filereader
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from mammoclip_core.codestream import codestream_size, is_complete
from mammoclip_core.errors import PixelError
from mammoclip_core.views import laterality_of, view_position_of

MAX_PIXELS: Final = 100_000_000
"""Rows x Columns that are decoded at most: three times the largest mammography detectors."""

MAX_INFLATED_BYTES: Final = 4 * MAX_PIXELS
"""What a deflated data set may grow to: two bytes a pixel, and as much again for the rest."""

MIN_EDGE: Final = 64
"""Rows and columns that an image needs to be one."""

MONOCHROME: Final = ("MONOCHROME1", "MONOCHROME2")

_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_RUN_LENGTH: Final = "1.2.840.10008.1.2.5"
_UNCOMPRESSED: Final = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _BIG_ENDIAN, _DEFLATED}
)
_JPEG: Final = "1.2.840.10008.1.2.4."
_DECODERS: Final[Mapping[str, Callable[[bytes], NDArray[Any]]]] = {
    **dict.fromkeys(
        (f"{_JPEG}50", f"{_JPEG}51", f"{_JPEG}57", f"{_JPEG}70"), imagecodecs.jpeg_decode
    ),
    **dict.fromkeys((f"{_JPEG}80", f"{_JPEG}81"), imagecodecs.jpegls_decode),
    **dict.fromkeys((f"{_JPEG}90", f"{_JPEG}91"), imagecodecs.jpeg2k_decode),
    **dict.fromkeys((f"{_JPEG}201", f"{_JPEG}202", f"{_JPEG}203"), imagecodecs.jpeg2k_decode),
}
"""Decoder of each compressed transfer syntax (PS3.5 A.4). They let other threads run."""

_READING_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and the decoders are known to raise on damaged input: no common class."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredImage:
    """One frame as it is stored: before rescale, inversion and any window.

    Attributes
    ----------
    values : (rows, columns) uint8, int8, uint16 or int16
        Stored pixel values, bits above Bits Stored removed, sign applied.
    photometric_interpretation : ``MONOCHROME1`` or ``MONOCHROME2``
    rescale_slope, rescale_intercept : float
        Of the Modality LUT; 1 and 0 where the data set has none.
    frame : 1 or more
    may_be_prepared : bool
        Whether an image of the model's input size is one that was already cropped and scaled.
    """

    sop_instance_uid: str
    values: NDArray[Any]
    photometric_interpretation: str
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    bits_stored: int = 16
    frame: int = 1
    number_of_frames: int = 1
    may_be_prepared: bool = False

    @property
    def rows(self) -> int:
        """Return the height in pixels."""
        return int(self.values.shape[0])

    @property
    def columns(self) -> int:
        """Return the width in pixels."""
        return int(self.values.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What a file says of itself before its pixels are looked at.

    Attributes
    ----------
    laterality : ``L``, ``R``, ``B`` or empty
    view_position : as (0018,5101); empty if unknown
    presentation_intent : ``FOR PRESENTATION``, ``FOR PROCESSING`` or empty
    is_image : bool
        Whether it has rows and columns.
    """

    sop_instance_uid: str
    study_instance_uid: str
    laterality: str
    view_position: str
    presentation_intent: str
    is_image: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """The Image Pixel module's numbers, checked."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    frames: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")


def is_dicom_file(path: Path) -> bool:
    """Tell whether a file begins as PS3.10 says: 128 bytes, then ``DICM``."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read_header(path: Path) -> ImageHeader:
    """Read what is needed to choose and name an image, without its pixels.

    Raises
    ------
    PixelError
        The file is not a readable DICOM file, or has no SOP Instance UID or Study Instance UID.
    """
    try:
        _check_inflated_size(path)
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        return ImageHeader(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            study_instance_uid=str(dataset.StudyInstanceUID),
            laterality=laterality_of(dataset),
            view_position=view_position_of(dataset),
            presentation_intent=str(dataset.get("PresentationIntentType") or "").strip().upper(),
            is_image="Rows" in dataset and "Columns" in dataset,
        )
    except _READING_ERRORS as error:
        raise PixelError(
            f"{path.name} is not a readable DICOM file: {type(error).__name__}"
        ) from error


def read_pixels(path: Path, frame: int = 1) -> StoredImage:
    """Decode the stored values of one frame of a monochrome image.

    Parameters
    ----------
    path : file
        A DICOM file of any transfer syntax that mammography meets.
    frame : 1 or more
        Number of the frame.

    Raises
    ------
    PixelError
        The file holds no such frame: it is damaged, not an image, too large, in color, in an
        unknown transfer syntax, or its header contradicts its pixels.

    References
    ----------
    PS3.3 C.7.6.3 (Image Pixel), PS3.5 8 and A.4.
    """
    try:
        _check_inflated_size(path)
        dataset = pydicom.dcmread(path)
        sop_instance_uid = str(dataset.get("SOPInstanceUID") or "without SOP Instance UID")
    except _READING_ERRORS as error:
        # The message of the library may quote the data set's values: only its class is handed on.
        raise PixelError(
            f"the file is not a readable DICOM file: {type(error).__name__}"
        ) from error
    try:
        return _decode(dataset, sop_instance_uid, frame)
    except PixelError:
        raise
    except _READING_ERRORS as error:
        raise PixelError(
            f"{sop_instance_uid}: the pixel data cannot be decoded: {type(error).__name__}"
        ) from error


def _check_inflated_size(path: Path) -> None:
    """Refuse a deflated data set that would grow without bound (PS3.5 A.5)."""
    with path.open("rb") as stream:
        meta = pydicom.filereader.read_file_meta_info(path)
        if str(meta.get("TransferSyntaxUID", "")) != _DEFLATED:
            return
        stream.seek(128 + 4 + 12 + int(meta.FileMetaInformationGroupLength))
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        size = 0
        pending = stream.read(1 << 20)
        while pending and not inflater.eof:
            size += len(inflater.decompress(pending, 1 << 24))
            if size > MAX_INFLATED_BYTES:
                raise PixelError(f"the deflated data set is larger than {MAX_INFLATED_BYTES} bytes")
            pending = inflater.unconsumed_tail or stream.read(1 << 20)


def _decode(dataset: pydicom.Dataset, sop_instance_uid: str, frame: int) -> StoredImage:
    layout = _layout_of(dataset, sop_instance_uid)
    if not 1 <= frame <= layout.frames:
        raise PixelError(f"{sop_instance_uid}: frame {frame} of {layout.frames} does not exist")
    photometric_interpretation = str(dataset.get("PhotometricInterpretation", "")).strip().upper()
    if photometric_interpretation not in MONOCHROME:
        raise PixelError(
            f"{sop_instance_uid}: Photometric Interpretation is not one of {', '.join(MONOCHROME)}"
        )
    slope = _real(dataset, sop_instance_uid, "RescaleSlope", 1.0)
    intercept = _real(dataset, sop_instance_uid, "RescaleIntercept", 0.0)
    values = _frame_values(dataset, sop_instance_uid, layout, frame)
    if values.shape != (layout.rows, layout.columns):
        raise PixelError(
            f"{sop_instance_uid}: the header says {layout.rows} x {layout.columns} pixels, "
            f"the pixel data hold {' x '.join(map(str, values.shape))}"
        )
    return StoredImage(
        sop_instance_uid=sop_instance_uid,
        values=_stored_bits(values, layout),
        photometric_interpretation=photometric_interpretation,
        rescale_slope=slope,
        rescale_intercept=intercept,
        bits_stored=layout.bits_stored,
        frame=frame,
        number_of_frames=layout.frames,
    )


def _layout_of(dataset: pydicom.Dataset, sop_instance_uid: str) -> _Layout:
    def number(keyword: str, default: int | None = None) -> int:
        value = dataset.get(keyword)
        if value is None and default is not None:
            return default
        if value is None:
            raise PixelError(f"{sop_instance_uid}: {keyword} is missing")
        try:
            return int(value)
        except (TypeError, ValueError) as error:
            raise PixelError(f"{sop_instance_uid}: {keyword} is not a number") from error

    if not dataset.get("PixelData"):
        raise PixelError(f"{sop_instance_uid}: there is no Pixel Data")
    samples = number("SamplesPerPixel", 1)
    if samples != 1:
        raise PixelError(f"{sop_instance_uid}: {samples} samples per pixel, only 1 is a mammogram")
    rows, columns = number("Rows"), number("Columns")
    if rows < MIN_EDGE or columns < MIN_EDGE:
        raise PixelError(f"{sop_instance_uid}: {rows} x {columns} pixels are too few")
    if rows * columns > MAX_PIXELS:
        raise PixelError(f"{sop_instance_uid}: {rows} x {columns} pixels are too many")
    bits_allocated = number("BitsAllocated")
    bits_stored = number("BitsStored", bits_allocated)
    high_bit = number("HighBit", bits_stored - 1)
    if bits_allocated not in {8, 16} or not 1 <= bits_stored <= high_bit + 1 <= bits_allocated:
        raise PixelError(
            f"{sop_instance_uid}: {bits_stored} bits stored up to bit {high_bit} of "
            f"{bits_allocated} cannot be read"
        )
    return _Layout(
        rows=rows,
        columns=columns,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=high_bit,
        signed=number("PixelRepresentation", 0) == 1,
        frames=max(number("NumberOfFrames", 1), 1),
    )


def _real(dataset: pydicom.Dataset, sop_instance_uid: str, keyword: str, default: float) -> float:
    value = dataset.get(keyword)
    if value is None or value == "":
        return default
    try:
        real = float(value)
    except (TypeError, ValueError) as error:
        raise PixelError(f"{sop_instance_uid}: {keyword} is not a number") from error
    if not math.isfinite(real):
        raise PixelError(f"{sop_instance_uid}: {keyword} is not finite")
    return real


def _frame_values(
    dataset: pydicom.Dataset, sop_instance_uid: str, layout: _Layout, frame: int
) -> NDArray[Any]:
    transfer_syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if transfer_syntax in _UNCOMPRESSED:
        return _uncompressed_values(dataset, sop_instance_uid, layout, frame)
    if transfer_syntax == _RUN_LENGTH:
        values: NDArray[Any] = pixel_array(dataset, index=frame - 1, raw=True)
        return values
    decoder = _DECODERS.get(transfer_syntax)
    if decoder is None:
        raise PixelError(
            f"{sop_instance_uid}: transfer syntax {transfer_syntax.name} is not supported"
        )
    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    encoded = get_frame(
        dataset.PixelData, frame - 1, number_of_frames=layout.frames, extended_offsets=offsets
    )
    _check_codestream(encoded, sop_instance_uid, layout)
    return decoder(encoded)


def _uncompressed_values(
    dataset: pydicom.Dataset, sop_instance_uid: str, layout: _Layout, frame: int
) -> NDArray[Any]:
    is_big_endian = dataset.file_meta.TransferSyntaxUID == _BIG_ENDIAN
    count = layout.rows * layout.columns
    size_bytes = layout.bits_allocated // 8
    content = dataset.PixelData
    if len(content) < frame * count * size_bytes:
        raise PixelError(f"{sop_instance_uid}: the pixel data are truncated")
    if is_big_endian and size_bytes == 1 and dataset["PixelData"].VR == "OW":
        # Two pixels share a 16-bit word, whose bytes are swapped (PS3.5 8.1.1).
        content = np.frombuffer(content, "<u2").astype(">u2").tobytes()
    dtype = f"{'>' if is_big_endian else '<'}u{size_bytes}"
    offset = (frame - 1) * count * size_bytes
    values = np.frombuffer(content, dtype, count, offset)
    return values.reshape(layout.rows, layout.columns)


def _check_codestream(encoded: bytes, sop_instance_uid: str, layout: _Layout) -> None:
    try:
        size = codestream_size(encoded)
    except ValueError as error:
        raise PixelError(f"{sop_instance_uid}: {error}") from error
    if not is_complete(encoded):
        raise PixelError(f"{sop_instance_uid}: the pixel data are truncated")
    if (size.rows, size.columns, size.samples) != (layout.rows, layout.columns, 1):
        raise PixelError(
            f"{sop_instance_uid}: the header says {layout.rows} x {layout.columns} pixels of 1 "
            f"sample, the codestream {size.rows} x {size.columns} of {size.samples}"
        )
    if size.bits > layout.bits_allocated:
        raise PixelError(
            f"{sop_instance_uid}: the codestream holds {size.bits} bits, the header allocates "
            f"{layout.bits_allocated}"
        )


def _stored_bits(values: NDArray[Any], layout: _Layout) -> NDArray[Any]:
    """Keep the stored bits only, and give them their sign: decoders do neither."""
    above = layout.bits_allocated - 1 - layout.high_bit
    below = layout.bits_allocated - layout.bits_stored
    unsigned = np.ascontiguousarray(values).astype(f"u{layout.bits_allocated // 8}")
    if below == 0:
        return unsigned.view(layout.dtype)
    return (unsigned << above).view(layout.dtype) >> below
