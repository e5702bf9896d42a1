"""Tells apart what lies in a folder: DICOM objects, and everything else with the reason."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom_node.errors import UnreadableFileError
from dicom_node.facts.file_meta import FileMeta, read_file_meta
from dicom_node.facts.study_in_stream import STUDY_INSTANCE_UID, StreamedUid
from mammoclip_core.images.decoding.data_set import is_dicom_file
from mammoclip_core.images.folder import NO_PREAMBLE, lacks_preamble
from mammoclip_core.images.folder_walk import is_link
from mammoclip_core.images.picture_file import raster_format

_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_DICOM_NAMES: Final = frozenset({".dcm", ".dicom", ".ima"})
_BESIDE_ANOTHER: Final = "._"
"""How macOS begins the name of a file in which it keeps what other file systems do not hold."""

_LOOKED_AT_BYTES: Final = 262_144
_PIECE_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFile:
    """A DICOM file that holds an object.

    Attributes
    ----------
    study_instance_uid : str
        Empty where it is not found near the start.
    """

    path: Path
    meta: FileMeta
    study_instance_uid: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A file or folder that is not used, and why.

    Attributes
    ----------
    is_amiss : bool
        Whether an image may be missing for it, as for a file that is named as DICOM and is none.
    """

    path: Path
    reason: str
    is_amiss: bool


def files_of(paths: Iterable[Path]) -> Iterator[ObjectFile | PassedOver]:
    """Look at files, and at everything in folders, in the order of their names.

    A DICOMDIR is not followed: the files that it lists are found by looking, and one that lies
    elsewhere is none of the folder.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path)
        else:
            yield _looked_at(path)


def _in_folder(top: Path) -> Iterator[ObjectFile | PassedOver]:
    closed: list[PassedOver] = []

    def note(error: OSError) -> None:
        closed.append(_unreadable(Path(error.filename), error))

    root = top.resolve()
    for folder, names_of_folders, names in os.walk(top, onerror=note):
        names_of_folders.sort()
        for name in names_of_folders:
            path = Path(folder, name)
            if is_link(path):
                reason = "a link to another folder, which is not followed"
                yield PassedOver(path=path, reason=reason, is_amiss=True)
        for name in sorted(names):
            path = Path(folder, name)
            # A disc that somebody handed in must not name files of this machine.
            if is_link(path) and not path.resolve().is_relative_to(root):
                reason = "a link that leads out of the folder"
                yield PassedOver(path=path, reason=reason, is_amiss=True)
            else:
                yield _looked_at(path)
    yield from closed


def _looked_at(path: Path) -> ObjectFile | PassedOver:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return _passed(path, "no file but a pipe, socket or device")
        reason = _why_no_object(path, status.st_size)
        if reason:
            return _passed(path, reason, is_amiss=_looks_like_dicom(path, reason))
        return _object_in(path, status.st_size)
    except OSError as error:
        return _unreadable(path, error)
    except UnreadableFileError as error:
        return _passed(path, str(error), is_amiss=True)


def _why_no_object(path: Path, size: int) -> str:
    if path.name.startswith(_BESIDE_ANOTHER):
        return "a file of macOS beside another one"
    if size == 0:
        return "an empty file"
    if is_dicom_file(path):
        return ""
    if picture := raster_format(path):
        return f"a picture ({picture}), such as a thumbnail, and no DICOM object"
    if lacks_preamble(path):
        return NO_PREAMBLE
    return "not a DICOM file"


def _looks_like_dicom(path: Path, reason: str) -> bool:
    if path.name.startswith(_BESIDE_ANOTHER):
        return False
    return reason == NO_PREAMBLE or path.suffix.lower() in _DICOM_NAMES


def _object_in(path: Path, size: int) -> ObjectFile | PassedOver:
    with path.open("rb") as stream:
        meta = read_file_meta(stream)
        if meta.sop_class_uid == _MEDIA_DIRECTORY:
            return _passed(path, "a DICOMDIR, which only lists other files")
        study = StreamedUid(STUDY_INSTANCE_UID, meta.transfer_syntax_uid)
        part, seen = meta.beginning, 0
        while part and not study.is_settled and seen < _LOOKED_AT_BYTES:
            study.feed(part)
            seen += len(part)
            part = stream.read(_PIECE_BYTES)
    return ObjectFile(path=path, meta=meta, study_instance_uid=study.value or "", size_bytes=size)


def _passed(path: Path, reason: str, *, is_amiss: bool = False) -> PassedOver:
    return PassedOver(path=path, reason=reason, is_amiss=is_amiss)


def _unreadable(path: Path, error: OSError) -> PassedOver:
    reason = f"cannot be read: {error.strerror or type(error).__name__}"
    return PassedOver(path=path, reason=reason, is_amiss=True)
