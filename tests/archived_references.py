"""Every reference in what an archive holds, followed by pydicom alone and nothing of ours."""

import io
from collections.abc import Iterator, Sequence

import pydicom
from pydicom.dataset import Dataset

_TO_NO_INSTANCE = {"ReferencedStudySequence", "ReferencedPerformedProcedureStepSequence"}
"""These name what no archive holds as an instance."""


def broken_references(files: Sequence[bytes], *, by: str) -> tuple[int, list[str]]:
    """Follow every reference of one maker's objects; return how many there are, and the broken.

    A reference is broken if the archive has no such instance, or has it in another class, series
    or study than the reference says, or with fewer frames; and a content item that refers to
    another if there is none at that place.

    Parameters
    ----------
    files : every instance of a study, as the archive returns it
    by : Manufacturer of the objects whose references are followed
    """
    held = [pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True) for file in files]
    by_uid: dict[str, list[Dataset]] = {}
    for one in held:
        by_uid.setdefault(str(one.SOPInstanceUID), []).append(one)
    count, broken = 0, []
    for one in held:
        if one.get("Manufacturer") != by:
            continue
        for place, item, series, study in _references(one, "", None, None):
            count += 1
            fault = _fault_of(item, by_uid, series, study)
            if fault:
                broken.append(f"{one.SeriesDescription}: {place}: {fault}")
        for item in _content(one):
            path = item.get("ReferencedContentItemIdentifier")
            if path is not None:
                count += 1
                if not _is_an_image(one, [path] if isinstance(path, int) else list(path)):
                    broken.append(f"{one.SeriesDescription}: no image at {path}")
    return count, broken


def _references(
    dataset: Dataset, place: str, series: str | None, study: str | None
) -> Iterator[tuple[str, Dataset, str | None, str | None]]:
    for element in dataset:
        if element.VR != "SQ" or element.keyword in _TO_NO_INSTANCE:
            continue
        for number, item in enumerate(element.value, start=1):
            here = f"{place}/{element.keyword}[{number}]"
            own_series = str(item.get("SeriesInstanceUID") or "") or series
            own_study = str(item.get("StudyInstanceUID") or "") or study
            if "ReferencedSOPInstanceUID" in item:
                yield here, item, own_series, own_study
            yield from _references(item, here, own_series, own_study)


def _fault_of(
    item: Dataset, by_uid: dict[str, list[Dataset]], series: str | None, study: str | None
) -> str:
    found = by_uid.get(str(item.ReferencedSOPInstanceUID), [])
    if not found:
        return f"{item.ReferencedSOPInstanceUID} is not in the archive"
    if series and series not in {str(one.SeriesInstanceUID) for one in found}:
        return f"{item.ReferencedSOPInstanceUID} is in another series than {series}"
    if study and study not in {str(one.StudyInstanceUID) for one in found}:
        return f"{item.ReferencedSOPInstanceUID} is in another study than {study}"
    if item.ReferencedSOPClassUID not in {one.SOPClassUID for one in found}:
        return f"{item.ReferencedSOPInstanceUID} is of another class"
    frames = item.get("ReferencedFrameNumber")
    numbers = [] if frames is None else [frames] if isinstance(frames, int) else list(frames)
    most = max(int(one.get("NumberOfFrames") or 1) for one in found)
    if any(not 1 <= number <= most for number in numbers):
        return f"{item.ReferencedSOPInstanceUID} has {most} frames, not {numbers}"
    return ""


def _content(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from _content(item)


def _is_an_image(report: Dataset, path: list[int]) -> bool:
    item = report
    for number in path[1:]:
        children = item.get("ContentSequence", [])
        if not 1 <= number <= len(children):
            return False
        item = children[number - 1]
    return bool(item.get("ValueType") == "IMAGE")
