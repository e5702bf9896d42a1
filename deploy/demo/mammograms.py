"""The studies to send: found in folders by their headers, whatever the files are called."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pydicom
from pydicom.errors import InvalidDicomError

from dicom_node.facts.own_result import is_own_result
from dicom_node.facts.storage_classes import (
    MAMMOGRAM_CLASSES,
    SECONDARY_CAPTURE_CLASSES,
    TOMOSYNTHESIS_CLASSES,
)

_SENT_CLASSES: Final = MAMMOGRAM_CLASSES | TOMOSYNTHESIS_CLASSES | SECONDARY_CAPTURE_CLASSES
_READ_KEYWORDS: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "Manufacturer",
    "ManufacturerModelName",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceToSend:
    """One file that will be sent as it is."""

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyToSend:
    """One study of a folder.

    Attributes
    ----------
    label : name for tables and for the folder of its pictures, unlike any other study's
    """

    label: str
    study_instance_uid: str
    instances: tuple[InstanceToSend, ...]


def find_studies(folders: Sequence[Path]) -> tuple[list[StudyToSend], Counter[str]]:
    """Find the studies with mammograms under some folders, at any depth.

    Returns
    -------
    list of StudyToSend, Counter
        In the order of the folders; and why other files are not sent, with their number.
    """
    found: dict[str, list[InstanceToSend]] = {}
    names: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    for path in _files_under(folders):
        header = _header(path)
        if isinstance(header, str):
            skipped[header] += 1
            continue
        uid = str(header.StudyInstanceUID)
        names.setdefault(uid, _plain(path.parent.name))
        found.setdefault(uid, []).append(
            InstanceToSend(
                path=path,
                sop_class_uid=str(header.SOPClassUID),
                transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
            )
        )
    studies = [
        StudyToSend(label=label, study_instance_uid=uid, instances=tuple(found[uid]))
        for uid, label in _unlike_labels(names)
    ]
    return studies, skipped


def _files_under(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _header(path: Path) -> pydicom.Dataset | str:
    """Read what sending needs, or return why the file is not sent."""
    try:
        dataset = pydicom.dcmread(path, specific_tags=list(_READ_KEYWORDS), stop_before_pixels=True)
        if is_own_result(dataset):
            return "a result of this software"
        if not dataset.get("StudyInstanceUID") or not dataset.file_meta.get("TransferSyntaxUID"):
            return "no Study Instance UID or no Transfer Syntax UID"
        if str(dataset.get("SOPClassUID")) not in _SENT_CLASSES:
            return "DICOM, but not a mammogram"
    except InvalidDicomError:
        return "not DICOM"
    except Exception:  # noqa: BLE001  any file may lie in a user's folder
        return "not readable"
    return dataset


def _unlike_labels(names: dict[str, str]) -> Iterator[tuple[str, str]]:
    uses = Counter(names.values())
    seen: Counter[str] = Counter()
    for uid, name in names.items():
        seen[name] += 1
        yield uid, name if uses[name] == 1 else f"{name}-{seen[name]}"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "study"
