"""Which files of folders and lists hold images to analyse, one after the other as they are found.

Nothing is held but one folder's names: a folder of any number of studies takes the same memory.
"""

import codecs
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Final

from mammoclip_core.analysis.study_files import is_wanted
from mammoclip_core.errors import CoreError, PixelError
from mammoclip_core.images.folder import (
    NO_STUDY,
    ImageFile,
    PassedOver,
    header_of,
    leads_nowhere,
    looked_at,
    may_be_file,
)
from mammoclip_core.images.folder_walk import walk_folder

MOST_PICTURES_OF_A_STUDY: Final = 50
"""A folder of more pictures than these is no study: each picture stands alone."""

LIST_NAMES: Final = frozenset({".txt", ".lst", ".list"})
"""Suffixes of a text file of paths."""

_HAS_NUL: Final = (
    "a name with NUL characters: write the list in UTF-8, or in UTF-16 with a byte order mark"
)


class NoImagesError(CoreError):
    """Neither an image was found nor a file that is passed over."""

    def __init__(self) -> None:
        super().__init__("no image was found: name folders, or a list of files (.txt)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """One file of a study, or one that is not used.

    Attributes
    ----------
    study : Study Instance UID, or the folder of pictures, or the only picture's path
        Empty for a file that is not used.
    reason : why it is not used; empty if it is
    is_named : whether a list or the command named it, rather than its folder
    """

    path: Path
    study: str = ""
    reason: str = ""
    is_named: bool = False


def files_in(paths: Iterable[Path]) -> Iterator[FoundFile]:
    """Find the images to analyse in folders, lists and among files, in a fixed order.

    A list is a text file (``.txt``, ``.lst``) of one path a line: files, folders or further
    lists, in UTF-8, or in UTF-16 with a byte order mark. Which images of a folder are taken is
    decided as by
    `mammoclip_core.analysis.study_files.requests_from`, except that pictures are previews only
    where DICOM images lie in the same folder, and that a named file that is no readable image is
    passed over with its reason. An image of another SOP Class than mammograms is left away.
    """
    for path in paths:
        yield from _files_of(path, ())


def _files_of(path: Path, within: tuple[str, ...]) -> Iterator[FoundFile]:
    if _is_folder(path):
        yield from _files_of_tree(path)
    elif path.suffix.lower() not in LIST_NAMES:
        yield _named(path)
    elif (place := os.path.realpath(path)) in within:
        yield FoundFile(path=path, reason="a list that names itself", is_named=True)
    else:
        yield from _files_of_list(path, (*within, place))


def _is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; what cannot be looked at is none, and is named later."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _files_of_list(path: Path, within: tuple[str, ...]) -> Iterator[FoundFile]:
    try:
        stream = path.open("rb")
    except OSError as error:
        yield FoundFile(path=path, reason=_why(error), is_named=True)
        return
    with _text_of(stream) as lines:
        for line in lines:
            entry = line.rstrip("\r\n")
            if "\0" in entry:
                shown = Path(entry.replace("\0", "\\x00"))
                yield FoundFile(path=shown, reason=_HAS_NUL, is_named=True)
            elif entry.strip():
                yield from _files_of(Path(entry), within)


def _text_of(stream: BufferedReader) -> TextIOWrapper:
    """Decode a list by its byte order mark; without one, names of any bytes are what they are."""
    start = stream.peek(3)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, errors = "utf-16", "backslashreplace"
    elif start.startswith(codecs.BOM_UTF8):
        encoding, errors = "utf-8-sig", "surrogateescape"
    else:
        encoding, errors = sys.getfilesystemencoding(), "surrogateescape"
    return TextIOWrapper(stream, encoding, errors, newline="\n")


def _named(path: Path) -> FoundFile:
    """Tell what a file is that was named itself."""
    try:
        header = header_of(path)
    except OSError as error:
        return FoundFile(path=path, reason=_why(error), is_named=True)
    except PixelError as error:
        reason = str(error).removeprefix(f"{path.name} is ")
        return FoundFile(path=path, reason=reason, is_named=True)
    if not header.is_image:
        return FoundFile(path=path, reason="a DICOM object without image", is_named=True)
    study = header.study_instance_uid
    # A picture that was named has a folder of its own choosing: only its path tells what it is.
    return FoundFile(path=path, study=str(path) if study == NO_STUDY else study, is_named=True)


def _files_of_tree(root: Path) -> Iterator[FoundFile]:
    unreadable: list[OSError] = []
    for folder, names in walk_folder(root, on_error=unreadable.append):
        for error in unreadable:
            yield FoundFile(path=Path(error.filename), reason=_why(error))
        unreadable.clear()
        yield from _files_of_folder(folder, names)
    for error in unreadable:
        yield FoundFile(path=Path(error.filename), reason=_why(error))


def _files_of_folder(folder: Path, names: list[str]) -> Iterator[FoundFile]:
    pictures: list[Path] = []
    has_images = False
    for name in names:
        path = folder / name
        if not may_be_file(path) and not leads_nowhere(path):
            continue
        match looked_at(path):
            case PassedOver() as passed:
                yield FoundFile(path=path, reason=passed.reason)
            case ImageFile(header=header) if header.study_instance_uid == NO_STUDY:
                pictures.append(path)
            case ImageFile() as image:
                has_images = True
                if is_wanted(image):
                    yield FoundFile(path=path, study=image.header.study_instance_uid)
    alone = len(pictures) > MOST_PICTURES_OF_A_STUDY
    for path in pictures:
        if has_images:
            yield FoundFile(path=path, reason="a picture beside DICOM images")
        else:
            yield FoundFile(path=path, study=str(path if alone else folder))


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
