"""Compares two objects of one SOP Instance UID: decoded pixels, what shows them, and header."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from dicom_node.facts.compared_values import WITHOUT_MEANING, plain_of
from dicom_node.facts.identity import KEYWORDS
from dicom_node.facts.likeness import Likeness, Sameness
from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.header.header_numbers import number_of
from mammoclip_core.images.header.views import laterality_of, view_position_of

_SHOWING: Final = frozenset(
    {
        "Rows",
        "Columns",
        "NumberOfFrames",
        "SamplesPerPixel",
        "PixelRepresentation",
        "BitsStored",
        "PhotometricInterpretation",
        "RescaleSlope",
        "RescaleIntercept",
        "ModalityLUTSequence",
        "VOILUTSequence",
        "WindowCenter",
        "WindowWidth",
        "VOILUTFunction",
        "PresentationLUTShape",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
    }
)
"""Attributes that decide how an image is shown: with another value it is another image."""

_OF_FRAMES: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_SHOWING_FRAMES: Final = ("FrameVOILUTSequence", "PixelValueTransformationSequence")
_NAMING: Final = ("PatientID", "PatientName")
"""Attributes of which one is enough to say whose an image is."""

_SIDE: Final = ("ImageLaterality", "Laterality")
_VIEW: Final = ("ViewPosition", "ViewCodeSequence", "PatientOrientation")
_SIDE_AND_VIEW: Final = frozenset({*_SIDE, *_VIEW, *_OF_FRAMES})
_OF_ONE_OBJECT: Final = frozenset({"SOPClassUID", "StudyInstanceUID"})
_CHUNK: Final = 1 << 20


def likeness_of(kept: Path | None, new: Path) -> Likeness:
    """Compare two objects of one SOP Instance UID: decoded pixels, what shows them, header.

    Parameters
    ----------
    kept : None if its file is gone or is no longer what was received
    new : its header has been read before

    Returns
    -------
    Likeness
        The same image wherever pixels and display are equal, however they are coded. A copy that
        names no patient, where the kept one does, corrects nothing but side and view; one that
        only says less of the patient corrects nothing.

    Raises
    ------
    OSError
        The system cannot read a file.
    """
    try:
        header = _header(new)
        before = None if kept is None else _header(kept)
    except OSError:
        raise
    # What was read once and cannot be read now; damaged files can raise any error.
    except Exception as error:  # noqa: BLE001
        return _different(f"its header cannot be compared ({type(error).__name__})")
    if kept is None or before is None:
        return _in_place_of_nothing(new, header)
    changed = _changed(before, header)
    other = sorted(changed & _OF_ONE_OBJECT)
    if other:
        return _different(f"with another {other[0]}")
    shown_otherwise = sorted(changed & _SHOWING)
    if shown_otherwise or _shown_by_frames(before) != _shown_by_frames(header):
        named = ", ".join(shown_otherwise) or "its functional groups"
        return _unless_unreadable(kept, before, new, header, f"shown otherwise ({named})")
    if not _has_same_coded_pixels(kept, before, new, header):
        difference = _compared_pixels(kept, new, _number_of_frames(header))
        if difference is not None:
            return difference
    told = tuple(sorted(_corrected(changed - WITHOUT_MEANING, before, header)))
    return Likeness(verdict=Sameness.CORRECTED if told else Sameness.REPEATED, changed=told)


def _corrected(changed: set[str], before: Dataset, header: Dataset) -> set[str]:
    """Return which of the attributes that differ a copy corrects: what is absent contradicts none.

    An image that was made anonymous on its way has much else removed or replaced, such as numbers
    and descriptions. In the former one's place it would take the patient off the results, so only
    another side or view counts of it, which would show a finding in the wrong breast.
    """
    if _names_nobody(header) and not _names_nobody(before):
        told = ((read(before), read(header)) for read in (laterality_of, view_position_of))
        is_seen_otherwise = any(now not in {"", then} for then, now in told)
        return changed & _SIDE_AND_VIEW if is_seen_otherwise else set()
    only_says_less = changed <= {word for word in KEYWORDS if not _is_stated(header, word)}
    return set() if only_says_less else changed


def _names_nobody(header: Dataset) -> bool:
    return not any(_is_stated(header, keyword) for keyword in _NAMING)


def _is_stated(header: Dataset, keyword: str) -> bool:
    return plain_of(header, pydicom.tag.Tag(keyword)) is not None


def _different(detail: str) -> Likeness:
    return Likeness(verdict=Sameness.DIFFERENT, detail=detail)


def _in_place_of_nothing(new: Path, header: Dataset) -> Likeness:
    problem = _problem_of(new, header)
    if problem:
        return Likeness(verdict=Sameness.NEW_UNREADABLE, detail=problem)
    detail = "the file of the one received before is gone or was changed"
    return Likeness(verdict=Sameness.KEPT_UNREADABLE, detail=detail)


def _unless_unreadable(
    kept: Path, before: Dataset, new: Path, header: Dataset, difference: str
) -> Likeness:
    """Let what cannot be read give way to what can; otherwise they differ."""
    problem = _problem_of(new, header)
    if problem:
        return Likeness(verdict=Sameness.NEW_UNREADABLE, detail=problem)
    problem = _problem_of(kept, before)
    if problem:
        return Likeness(verdict=Sameness.KEPT_UNREADABLE, detail=problem)
    return _different(difference)


def _problem_of(file: Path, header: Dataset) -> str:
    try:
        for frame in range(1, _number_of_frames(header) + 1):
            _values(file, frame)
    except PixelError as error:
        return str(error)
    return ""


def _compared_pixels(kept: Path, new: Path, frames: int) -> Likeness | None:
    """Decode both, a frame at a time; None if all pixels are equal."""
    kept_problem, is_equal = "", True
    for frame in range(1, frames + 1):
        try:
            values = _values(new, frame)
        except PixelError as error:
            return Likeness(verdict=Sameness.NEW_UNREADABLE, detail=str(error))
        try:
            is_equal &= bool(kept_problem) or np.array_equal(_values(kept, frame), values)
        except PixelError as error:
            kept_problem = str(error)
    if kept_problem:
        return Likeness(verdict=Sameness.KEPT_UNREADABLE, detail=kept_problem)
    return None if is_equal else _different("with other pixels")


def _values(file: Path, frame: int) -> NDArray[Any]:
    try:
        return read_pixels(file, frame).values
    except PixelError as error:
        cause = error.__cause__
        # These say nothing of the file. Decoders raise an OSError, too, but without a number.
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno):
            raise cause from error
        raise


def _has_same_coded_pixels(kept: Path, before: Dataset, new: Path, header: Dataset) -> bool:
    """Tell whether the pixel data are equal byte for byte, so that nothing need be decoded."""
    coding = ("BitsAllocated", "HighBit", "PlanarConfiguration")
    if any(before.get(keyword) != header.get(keyword) for keyword in coding):
        return False
    if before.file_meta.get("TransferSyntaxUID") != header.file_meta.get("TransferSyntaxUID"):
        return False
    with kept.open("rb") as one, new.open("rb") as other:
        _to_pixels(one)
        _to_pixels(other)
        while True:
            chunk = one.read(_CHUNK)
            if chunk != other.read(_CHUNK):
                return False
            if not chunk:
                return True


def _to_pixels(stream: BinaryIO) -> None:
    """Read up to the pixel data; to the end of what is deflated, where pixels start nowhere."""
    dataset = pydicom.dcmread(stream, stop_before_pixels=True, defer_size=_CHUNK)
    if dataset.file_meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
        stream.seek(0)


def _header(file: Path) -> Dataset:
    return pydicom.dcmread(file, stop_before_pixels=True)


def _number_of_frames(header: Dataset) -> int:
    return max(int(number_of(header, "NumberOfFrames", 1)), 1)


def _changed(before: Dataset, after: Dataset) -> set[str]:
    """Return the keywords of all attributes that differ, private ones left out."""
    tags = {*before.keys(), *after.keys()}
    return {
        keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"
        for tag in tags
        if not tag.is_private and tag.element and plain_of(before, tag) != plain_of(after, tag)
    }


def _shown_by_frames(header: Dataset) -> list[Any]:
    """Return what decides how each frame is shown, in a form that can be compared."""
    return [
        [plain_of(group, pydicom.tag.Tag(keyword)) for keyword in _SHOWING_FRAMES]
        for group in _groups(header)
    ]


def _groups(header: Dataset) -> Iterator[Dataset]:
    for keyword in _OF_FRAMES:
        yield from header.get(keyword) or []
