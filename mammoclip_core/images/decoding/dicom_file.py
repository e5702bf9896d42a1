"""From a DICOM file to the stored values of one frame."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import pydicom
from pydicom.datadict import dictionary_description
from pydicom.encaps import get_frame, parse_basic_offsets, parse_fragments
from pydicom.uid import UID

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.data_set import (
    READING_ERRORS,
    opened,
    read_dataset,
    transfer_syntax_of,
)
from mammoclip_core.images.decoding.decoding_effort import BeforeDecoding, anything
from mammoclip_core.images.decoding.frame_decoding import (
    BIG_ENDIAN,
    ENCAPSULATED,
    UNCOMPRESSED,
    begins_frame,
    decode_frame,
)
from mammoclip_core.images.decoding.pixel_data import (
    UNDEFINED_LENGTH,
    PixelData,
    pixel_data_at,
    surplus_of,
    uncompressed_words,
)
from mammoclip_core.images.decoding.stored_values import DecodedFrame, FrameLayout
from mammoclip_core.images.decoding.unused_bits import values_of_words
from mammoclip_core.images.header.display_header import display_header_of, padding_of
from mammoclip_core.images.header.embedded_overlays import embedded_overlay_bits
from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.image_kind import ImageFacts, image_facts_of
from mammoclip_core.images.header.own_result import is_own_result
from mammoclip_core.images.header.projection_header import projection_header_of
from mammoclip_core.images.header.views import contradictions_of
from mammoclip_core.images.stored_image import MAX_PIXELS, MIN_EDGE, MONOCHROME, StoredImage

_ITEM_HEAD_BYTES: Final = 8
_START_BYTES: Final = 12
_BYTES_OF_AN_EXTENDED_OFFSET: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader(ImageFacts):
    """What a file says of itself before its pixels are looked at.

    Attributes
    ----------
    is_image : bool
        Whether it has rows and columns, and is no result of this software.
    """

    study_instance_uid: str
    is_image: bool
    number_of_frames: int = 1


def read_header(path: Path) -> ImageHeader:
    """Read what is needed to choose and name an image, without its pixels.

    Raises
    ------
    PixelError
        The file is not a readable DICOM file, or an image without SOP Instance UID or Study
        Instance UID.
    """
    dataset = read_dataset(path)
    try:
        return image_header_of(dataset)
    except PixelError as error:
        raise PixelError(f"{path.name} is {error}") from error
    except READING_ERRORS as error:
        raise PixelError(
            f"{path.name} is not a readable DICOM file: {type(error).__name__}"
        ) from error


def image_header_of(dataset: pydicom.Dataset) -> ImageHeader:
    """Gather what is needed to choose and name an image from a header that is read already.

    What is no image needs no UIDs, as a DICOMDIR has none.

    Raises
    ------
    PixelError
        It is an image and has no SOP Instance UID or Study Instance UID.
    """
    facts = image_facts_of(dataset)
    has_size = "Rows" in dataset and "Columns" in dataset
    for keyword in ("SOPInstanceUID", "StudyInstanceUID") if has_size else ():
        if not dataset.get(keyword):
            raise PixelError(f"an image without {dictionary_description(keyword)}")
    return ImageHeader(
        sop_instance_uid=facts.sop_instance_uid,
        sop_class_uid=facts.sop_class_uid,
        laterality=facts.laterality,
        view_position=facts.view_position,
        presentation_intent=facts.presentation_intent,
        acquisition=facts.acquisition,
        left_out_reason=facts.left_out_reason,
        study_instance_uid=str(dataset.StudyInstanceUID) if has_size else "",
        is_image=has_size and not is_own_result(dataset),
        number_of_frames=max(int(dataset.get("NumberOfFrames") or 1), 1),
    )


def read_pixels(
    path: Path, frame: int = 1, before_decoding: BeforeDecoding = anything
) -> StoredImage:
    """Decode the stored values of one frame of a monochrome image.

    Of the pixel data nothing but this frame is read, however many there are.

    Parameters
    ----------
    path : file
        A DICOM file of any transfer syntax that mammography meets.
    frame : 1 or more
        Number of the frame.
    before_decoding : called once it is known what is to be decoded

    Raises
    ------
    PixelError
        The file holds no such frame: it is damaged, not an image, too large, in color, in an
        unknown transfer syntax, or its header contradicts its pixels.

    References
    ----------
    PS3.3 C.7.6.3 (Image Pixel), PS3.5 8 and A.4.
    """
    sop_instance_uid = ""
    try:
        with opened(path) as (dataset, stream):
            sop_instance_uid = str(dataset.get("SOPInstanceUID") or "without SOP Instance UID")
            return _decode(dataset, stream, sop_instance_uid, frame, before_decoding)
    except PixelError:
        raise
    except READING_ERRORS as error:
        # The message of the library may quote the data set's values: only its class is handed on.
        what = (
            f"{sop_instance_uid}: the pixel data cannot be decoded"
            if sop_instance_uid
            else "the file is not a readable DICOM file"
        )
        raise PixelError(f"{what}: {type(error).__name__}") from error


def _decode(
    dataset: pydicom.Dataset,
    stream: BinaryIO,
    sop_instance_uid: str,
    frame: int,
    before_decoding: BeforeDecoding,
) -> StoredImage:
    is_implicit, is_little = dataset.original_encoding
    data = pixel_data_at(
        stream, sop_instance_uid, is_implicit=bool(is_implicit), is_little=bool(is_little)
    )
    layout = _layout_of(dataset, sop_instance_uid)
    if not 1 <= frame <= layout.frames:
        raise PixelError(f"{sop_instance_uid}: frame {frame} of {layout.frames} does not exist")
    photometric_interpretation = str(dataset.get("PhotometricInterpretation", "")).strip().upper()
    if photometric_interpretation not in MONOCHROME:
        raise PixelError(
            f"{sop_instance_uid}: Photometric Interpretation is not one of {', '.join(MONOCHROME)}"
        )
    transform = next(frame_groups(dataset, frame, "PixelValueTransformationSequence"), None)
    slope, intercept = (
        _real(dataset, sop_instance_uid, keyword, default, transform)
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    decoded = _frame_values(dataset, data, layout, frame, before_decoding)
    is_signed = decoded.values.dtype.kind == "i"
    return StoredImage(
        sop_instance_uid=sop_instance_uid,
        values=decoded.values,
        photometric_interpretation=photometric_interpretation,
        rescale_slope=slope,
        rescale_intercept=intercept,
        bits_stored=decoded.bits_stored,
        frame=frame,
        number_of_frames=layout.frames,
        display=display_header_of(
            dataset,
            frame,
            signed=is_signed,
            lowest=intercept + min(slope * end for end in _ends(decoded.bits_stored, is_signed)),
        ),
        remark="; ".join(filter(None, (decoded.remark, *contradictions_of(dataset)))),
        projection=projection_header_of(dataset, frame, layout.frames),
    )


def _ends(bits: int, is_signed: bool) -> tuple[int, int]:
    """Return the lowest and highest value of so many bits."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)


def _layout_of(dataset: pydicom.Dataset, sop_instance_uid: str) -> FrameLayout:
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
    signed = number("PixelRepresentation", 0) == 1
    return FrameLayout(
        sop_instance_uid=sop_instance_uid,
        rows=rows,
        columns=columns,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=high_bit,
        signed=signed,
        frames=max(number("NumberOfFrames", 1), 1),
        overlay_bits=embedded_overlay_bits(dataset),
        padding=padding_of(dataset, signed=signed),
    )


def _real(
    dataset: pydicom.Dataset, sop_instance_uid: str, keyword: str, default: float, transform: Any
) -> float:
    value = dataset.get(keyword)
    if value is None and transform is not None:
        value = transform.get(keyword)
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
    dataset: pydicom.Dataset,
    data: PixelData,
    layout: FrameLayout,
    frame: int,
    before_decoding: BeforeDecoding,
) -> DecodedFrame:
    pixels = layout.rows * layout.columns
    transfer_syntax = transfer_syntax_of(dataset)
    if transfer_syntax in UNCOMPRESSED:
        surplus = surplus_of(data, layout)
        before_decoding(pixels, layout.frame_bytes)
        is_big_endian = transfer_syntax == BIG_ENDIAN
        words = uncompressed_words(data, layout, frame, is_big_endian=is_big_endian)
        decoded = values_of_words(words, layout)
        return replace(decoded, remark="; ".join(filter(None, (decoded.remark, surplus))))
    if transfer_syntax not in ENCAPSULATED:
        raise PixelError(
            f"{layout.sop_instance_uid}: transfer syntax {UID(transfer_syntax).name} "
            "is not supported"
        )
    if data.length != UNDEFINED_LENGTH:
        raise PixelError(f"{layout.sop_instance_uid}: the compressed pixel data are not in frames")
    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    data.stream.seek(data.start)
    held = _frames_held(data.stream, transfer_syntax, offsets)
    if held > layout.frames:
        raise PixelError(
            f"{layout.sop_instance_uid}: the Pixel Data hold {held} frames, Number of Frames says "
            f"{layout.frames}. Have the image sent as the detector made it."
        )
    data.stream.seek(data.start)
    encoded = get_frame(
        data.stream, frame - 1, number_of_frames=layout.frames, extended_offsets=offsets
    )
    before_decoding(pixels, len(encoded))
    return decode_frame(encoded, transfer_syntax, layout)


def _frames_held(
    stream: BinaryIO, transfer_syntax: str, offsets: tuple[bytes, bytes] | None
) -> int:
    """Count the frames of encapsulated pixel data, at whose first item the stream stands.

    By their table of offsets, or by the fragments that a frame begins with: others go on with a
    frame, or are no part of any (PS3.5 A.4).
    """
    if offsets is not None:
        return len(offsets[0]) // _BYTES_OF_AN_EXTENDED_OFFSET
    if basic := parse_basic_offsets(stream):
        return len(basic)
    count = 0
    for position in parse_fragments(stream)[1]:
        stream.seek(position + _ITEM_HEAD_BYTES)
        count += begins_frame(stream.read(_START_BYTES), transfer_syntax)
    return count
