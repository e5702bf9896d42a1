"""Our own checks of a finished object, for what no validator looks at."""

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import RLELossless

from dicom_node.facts.result_kinds import (
    MAMMOGRAPHY_CAD_SR,
    SECONDARY_CAPTURE_STORAGE,
    SEGMENTATION_STORAGE,
    ResultKind,
)
from dicom_node.objects.sc.rle_frame import plane_sizes

REPORTS: Final = frozenset(
    uid for kind in ResultKind if kind.row.is_report for uid in kind.row.sop_class_uids
)

_Path = tuple[int, ...]

_NEEDED: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "InstanceNumber",
    "Manufacturer",
)
_PRESENT: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)
_WITH_FINDINGS: Final = frozenset({"111242", "111244"})
_RESEARCH: Final = "RESEARCH USE ONLY"


def complaints_about(dataset: Dataset) -> list[str]:
    """Return what is wrong with an object; empty if nothing is.

    Reports are checked for references that lead nowhere or to the wrong thing, open outlines,
    images that are not evidence, tracking UIDs that are missing or shared, and a summary that
    contradicts the marks; segmentations for empty frames; pictures for missing pixels.
    """
    return list(_complaints(dataset))


def _complaints(dataset: Dataset) -> Iterator[str]:
    for keyword in _NEEDED:
        if dataset.get(keyword) in {None, ""}:
            yield f"{keyword} has no value"
    for keyword in _PRESENT:
        if keyword not in dataset:
            yield f"{keyword} is missing"
    if _RESEARCH not in str(dataset.get("SeriesDescription") or "").upper():
        yield f"SeriesDescription does not say {_RESEARCH}"
    if dataset.get("SOPClassUID") in REPORTS:
        yield from _report_complaints(dataset)
    elif dataset.get("SOPClassUID") == SEGMENTATION_STORAGE:
        yield from _segmentation_complaints(dataset)
    elif dataset.get("SOPClassUID") == SECONDARY_CAPTURE_STORAGE:
        yield from _picture_complaints(dataset)


def _report_complaints(report: Dataset) -> Iterator[str]:
    if report.get("VerificationFlag") != "UNVERIFIED":
        yield "VerificationFlag is not UNVERIFIED"
    items = dict(_walk(report, (1,)))
    for path, item in items.items():
        place = ".".join(map(str, path))
        if "ReferencedContentItemIdentifier" in item:
            yield from _reference_complaints(item, items, place)
        elif item.get("ValueType") == "SCOORD" and item.get("GraphicType") == "POLYLINE":
            numbers = list(item.GraphicData)
            if numbers[:2] != numbers[-2:]:
                yield f"{place}: the outline is not closed"
    yield from _evidence_complaints(report, items)
    yield from _tracking_complaints(items)
    if report.SOPClassUID == MAMMOGRAPHY_CAD_SR:
        yield from _cad_complaints(items)


def _reference_complaints(item: Dataset, items: dict[_Path, Dataset], place: str) -> Iterator[str]:
    identifier = item.ReferencedContentItemIdentifier
    path = (identifier,) if isinstance(identifier, int) else tuple(identifier)
    target = items.get(path)
    if target is None:
        yield f"{place}: the reference to {'.'.join(map(str, path))} leads nowhere"
    elif target.get("ValueType") != "IMAGE":
        yield f"{place}: the reference to {'.'.join(map(str, path))} is to no image"


def _evidence_complaints(report: Dataset, items: dict[_Path, Dataset]) -> Iterator[str]:
    evidence = {
        instance.ReferencedSOPInstanceUID
        for study in report.get("CurrentRequestedProcedureEvidenceSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    referenced = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in items.values()
        if item.get("ValueType") == "IMAGE"
    }
    for uid in sorted(referenced - evidence):
        yield f"instance {uid} is referred to but no evidence"


def _tracking_complaints(items: dict[_Path, Dataset]) -> Iterator[str]:
    uids = Counter(item.UID for item in items.values() if _concept(item) == "112040")
    for uid, count in uids.items():
        if count > 1:
            yield f"tracking UID {uid} is used {count} times"
    for path, item in items.items():
        tracked = (
            _concept(item) == "125007"
            or (_concept(item) == "111059" and _value(item) != "129715009")
            or (_concept(item) == "121071" and "ContentSequence" in item)
        )
        if tracked and not any(
            _concept(child) == "112040" for child in item.get("ContentSequence", [])
        ):
            yield f"{'.'.join(map(str, path))}: no tracking UID"


def _cad_complaints(items: dict[_Path, Dataset]) -> Iterator[str]:
    for path, item in items.items():
        if item.get("ValueType") == "IMAGE" and _concept(items[path[:-1]]) != "111028":
            yield f"{'.'.join(map(str, path))}: an image by value outside the Image Library"
    summary = next((item for item in items.values() if _concept(item) == "111017"), None)
    found = any(_concept(item) in {"111059", "111013"} for item in items.values())
    if summary is None:
        yield "there is no summary of processing and findings"
    elif found != (_value(summary) in _WITH_FINDINGS):
        yield f"summary {_value(summary)} contradicts the findings"


def _segmentation_complaints(segmentation: Dataset) -> Iterator[str]:
    for segment in segmentation.get("SegmentSequence", []):
        if not segment.get("TrackingUID"):
            yield f"segment {segment.SegmentNumber} has no TrackingUID"
    if "PixelData" not in segmentation:
        return
    frames = int(segmentation.get("NumberOfFrames", 1))
    size = int(segmentation.Rows) * int(segmentation.Columns)
    if segmentation.get("SegmentationType") == "BINARY":
        lit = int.from_bytes(segmentation.PixelData, "little")
        empty = [not (lit >> (frame * size)) & ((1 << size) - 1) for frame in range(frames)]
    elif segmentation.get("SegmentationFractionalType") == "OCCUPANCY":
        # A mask in bytes: a row of bits would not end with a byte.
        values = segmentation.PixelData
        empty = [
            not values[frame * size : (frame + 1) * size].strip(b"\0") for frame in range(frames)
        ]
    else:
        return
    for frame, is_empty in enumerate(empty, start=1):
        if is_empty:
            yield f"frame {frame} is empty"


def _picture_complaints(picture: Dataset) -> Iterator[str]:
    if picture.get("BurnedInAnnotation") not in {"YES", "NO"}:
        yield "BurnedInAnnotation is neither YES nor NO"
    if not picture.get("SourceImageSequence"):
        yield "SourceImageSequence names no image"
    syntax = picture.file_meta.TransferSyntaxUID
    if syntax == RLELossless:
        is_whole = _is_whole_rle(picture)
    elif syntax.is_encapsulated:
        is_whole = bool(picture.get("PixelData"))
    else:
        expected = int(picture.Rows) * int(picture.Columns) * int(picture.SamplesPerPixel)
        is_whole = len(picture.get("PixelData", b"")) == expected + expected % 2
    if not is_whole:
        yield "PixelData does not hold the picture's pixels"


def _is_whole_rle(picture: Dataset) -> bool:
    expected = [int(picture.Rows) * int(picture.Columns)] * int(picture.SamplesPerPixel)
    try:
        frame = get_frame(picture.get("PixelData", b""), 0)
        return bool(plane_sizes(frame) == expected)
    except (ValueError, struct.error):
        return False


def _walk(item: Dataset, path: _Path) -> Iterator[tuple[_Path, Dataset]]:
    yield path, item
    for position, child in enumerate(item.get("ContentSequence", []), start=1):
        yield from _walk(child, (*path, position))


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return _code_value(names[0]) if names else ""


def _value(item: Dataset) -> str:
    values = item.get("ConceptCodeSequence")
    return _code_value(values[0]) if values else ""


def _code_value(item: Dataset) -> str:
    keywords = ("CodeValue", "LongCodeValue", "URNCodeValue")
    return next((str(item[keyword].value) for keyword in keywords if keyword in item), "")
