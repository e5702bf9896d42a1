"""What a performed procedure step or a notification says (PS3.4 F.7 and R.3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from dicom_node.facts.identity import KEYWORDS, PatientDigest
from mammoclip_core.images.header.image_kind import MAMMOGRAM_CLASSES, TOMOSYNTHESIS_CLASSES

_IMAGES: Final = MAMMOGRAM_CLASSES | TOMOSYNTHESIS_CLASSES
_MOST_IMAGES: Final = 10_000
_GONE: Final = "UNAVAILABLE"


class MalformedError(Exception):
    """The data set cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContent:
    """What an N-CREATE or N-SET of a performed procedure step says.

    Attributes
    ----------
    status : Performed Procedure Step Status; empty if it is not in the request
    images : None if the request says nothing of series
    """

    status: str
    studies: dict[str, str]
    images: list[str] | None


def step_in(content: bytes, syntax: str, key: bytes | None) -> StepContent:
    """Read a performed procedure step.

    Parameters
    ----------
    key : by which patients are digested; None: they are not

    Raises
    ------
    MalformedError
    """
    dataset = _read(content, syntax)
    scheduled = _items(dataset, "ScheduledStepAttributesSequence")
    studies = {
        uid: _digest(dataset, uid, key)
        for item in scheduled
        if (uid := _uid(item, "StudyInstanceUID"))
    }
    images: list[str] | None = None
    if "PerformedSeriesSequence" in dataset:
        series = _items(dataset, "PerformedSeriesSequence")
        images = _mammograms(
            reference for one in series for reference in _items(one, "ReferencedImageSequence")
        )
    return StepContent(
        status=_text(dataset, "PerformedProcedureStepStatus"), studies=studies, images=images
    )


def notification_in(content: bytes, syntax: str, key: bytes | None) -> StepContent:
    """Read an Instance Availability Notification; what is unavailable is not among its images.

    Raises
    ------
    MalformedError
    """
    dataset = _read(content, syntax)
    study = _uid(dataset, "StudyInstanceUID")
    images = _mammograms(
        reference
        for series in _items(dataset, "ReferencedSeriesSequence")
        for reference in _items(series, "ReferencedSOPSequence")
        if _text(reference, "InstanceAvailability") != _GONE
    )
    studies = {study: _digest(dataset, study, key)} if study else {}
    return StepContent(status="COMPLETED", studies=studies, images=images)


def _mammograms(references: Iterator[Dataset]) -> list[str]:
    found: dict[str, None] = {}
    for one in references:
        uid = _uid(one, "ReferencedSOPInstanceUID")
        if uid and _text(one, "ReferencedSOPClassUID") in _IMAGES:
            found[uid] = None
        if len(found) > _MOST_IMAGES:
            raise MalformedError
    return list(found)


def _digest(dataset: Dataset, study: str, key: bytes | None) -> str:
    if key is None:
        return ""
    patient = Dataset()
    for keyword in KEYWORDS:
        if value := _text(dataset, keyword):
            setattr(patient, keyword, value)
    patient.StudyInstanceUID = study
    return PatientDigest.of(patient, key).stored()


def _read(content: bytes, syntax: str) -> Dataset:
    uid = UID(syntax)
    try:
        return read_dataset(BytesIO(content), uid.is_implicit_VR, uid.is_little_endian)
    except Exception as error:  # bytes from the network can make the library raise any error
        raise MalformedError from error


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        value: Any = dataset.get(keyword)
        return [one for one in value or () if isinstance(one, Dataset)]
    except Exception as error:
        raise MalformedError from error


def _uid(dataset: Dataset, keyword: str) -> str:
    text = _text(dataset, keyword)
    return text if text and UID(text).is_valid else ""


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "").strip(" \0")
    except Exception as error:
        raise MalformedError from error
