"""What an archive says it holds, checked against what it was asked."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset

from dicom_node.errors import NodeError
from dicom_node.fetch.study_list import WantedStudy

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_LONGEST_UID: Final = 64
_USUAL_BYTES: Final = 20_000_000
"""Size that is assumed of an object of which the archive does not say how large it is."""


class OtherStudyError(NodeError):
    """The archive answers with what it was not asked for."""

    reason = "other-study"


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study that an archive holds.

    Attributes
    ----------
    patient_id : as the archive writes it; empty if it does not say
    objects : how many of it the archive holds; None if it does not say
    study_date : ``YYYYMMDD``; empty if the archive does not say
    """

    study_instance_uid: str
    patient_id: str
    objects: int | None = None
    study_date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundObject:
    """An object of a study.

    Attributes
    ----------
    sop_class_uid : empty if the archive does not say
    size_bytes : without compression, an estimate
    """

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    size_bytes: int


def dataset_in(answer: dict[str, Any]) -> Dataset:
    """Read one answer in the DICOM JSON model; an element that is none is left out."""
    found = Dataset()
    for tag, element in answer.items():
        try:
            found.update(Dataset.from_json({tag: element}))
        except Exception:  # noqa: BLE001, S112  whatever a library makes of what an archive sends
            continue
    return found


def study_in(answer: Dataset, wanted: WantedStudy) -> FoundStudy:
    """Read one answer to a search for studies.

    Raises
    ------
    OtherStudyError
        It is about another study or patient than was asked for, or names no UID.
    """
    uid = uid_in(answer, "StudyInstanceUID")
    for asked, keyword in (
        (wanted.study_instance_uid, "StudyInstanceUID"),
        (wanted.accession_number, "AccessionNumber"),
        (wanted.patient_id, "PatientID"),
    ):
        if asked and text_in(answer, keyword) != asked:
            raise OtherStudyError(f"the archive answered with another {keyword}")
    date = text_in(answer, "StudyDate").replace(".", "")
    is_early = bool(wanted.first_date) and date < wanted.first_date
    is_late = bool(wanted.last_date) and date > wanted.last_date
    if is_early or is_late:
        raise OtherStudyError("the archive answered with a study of another date")
    count = text_in(answer, "NumberOfStudyRelatedInstances")
    objects = int(count) if _COUNT.fullmatch(count) else None
    return FoundStudy(uid, text_in(answer, "PatientID"), objects, date)


def object_in(answer: Dataset, study: FoundStudy) -> FoundObject:
    """Read one answer to a search for the objects of a study.

    Raises
    ------
    OtherStudyError
        It is about another study, or names no UIDs.
    """
    named = text_in(answer, "StudyInstanceUID")
    if named and named != study.study_instance_uid:
        raise OtherStudyError("the archive answered with an object of another study")
    return FoundObject(
        series_instance_uid=uid_in(answer, "SeriesInstanceUID"),
        sop_instance_uid=uid_in(answer, "SOPInstanceUID"),
        sop_class_uid=text_in(answer, "SOPClassUID"),
        size_bytes=_size_of(answer),
    )


def objects_among(
    study: FoundStudy,
    classes: frozenset[str],
    series: Iterable[Dataset],
    images_of: Callable[[str], Iterable[Dataset]],
) -> list[FoundObject]:
    """Return the objects of a study's mammography series that are of some SOP Classes.

    Parameters
    ----------
    series : answers to a search for the series of the study
    images_of : asks for the objects of a series, by its UID

    Raises
    ------
    OtherStudyError
        An answer is about another study or series, or names no UIDs.
    """
    uids = {
        uid_in(answer, "SeriesInstanceUID")
        for answer in series
        if text_in(answer, "Modality") in {"MG", ""}
    }
    found: dict[str, FoundObject] = {}
    for uid in sorted(uids):
        for answer in images_of(uid):
            one = object_in(answer, study)
            if one.series_instance_uid != uid:
                raise OtherStudyError("the archive answered with an object of another series")
            if not one.sop_class_uid or one.sop_class_uid in classes:
                found[one.sop_instance_uid] = one
    return list(found.values())


def uid_in(answer: Dataset, keyword: str) -> str:
    """Return a UID of an answer.

    Raises
    ------
    OtherStudyError
        It has none.
    """
    uid = text_in(answer, keyword)
    if not is_uid(uid):
        raise OtherStudyError(f"the archive answered without a {keyword}")
    return uid


def is_uid(text: str) -> bool:
    """Return whether a text may be used as a UID."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def text_in(answer: Dataset, keyword: str) -> str:
    """Return a value of an answer as text; empty if it has none that can be read."""
    try:
        return str(answer.get(keyword) or "").strip(" \0")
    except Exception:  # noqa: BLE001  whatever a library makes of what an archive sends
        return ""


def _size_of(answer: Dataset) -> int:
    try:
        pixels = int(answer.Rows) * int(answer.Columns) * int(answer.get("NumberOfFrames") or 1)
        size = pixels * max(1, int(answer.BitsAllocated) // 8)
    except Exception:  # noqa: BLE001  not said, or no numbers
        return _USUAL_BYTES
    return size if 0 < size < 2**40 else _USUAL_BYTES
