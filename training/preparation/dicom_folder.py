"""The folder of DICOM files: what lies in it, and which file is meant by a name or a UID."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from mammoclip_core.images.folder_walk import walk_folder
from training.errors import TableError
from training.preparation.picture_names import DICOM_ENDINGS, stem_of

_NO_IMAGES: Final = frozenset({"DICOMDIR", "LOCKFILE", "VERSION"})
"""Files that a DICOM file-set or a viewer's disc holds besides its images."""


class UnmatchedError(TableError):
    """No file, or more than one, is what a row of a table names."""


class SourceFolder:
    """A folder of DICOM files.

    Attributes
    ----------
    path : folder
    files : paths below it, sorted
    passed_over : how many other files lie there
    """

    def __init__(self, path: Path, besides: Path) -> None:
        self.path = path
        self.files, self.passed_over = _dicom_files(path, besides.resolve())
        self._by_stem: dict[str, list[str]] = {}
        for file in self.files:
            self._by_stem.setdefault(stem_of(file), []).append(file)

    def named(self, name: str) -> str:
        """Return the file that a table names by its path, below this folder or whole.

        Raises
        ------
        UnmatchedError
            There is none, or it lies elsewhere.
        """
        folder = os.path.normpath(self.path.absolute())
        path = os.path.normpath(Path(folder) / name.replace("\\", "/"))
        if not path.startswith(folder.rstrip(os.sep) + os.sep):
            raise UnmatchedError(f"{name}: the file lies outside {self.path}")
        if not Path(path).is_file():
            raise UnmatchedError(f"{name}: there is no such file below {self.path}")
        return Path(path).relative_to(folder).as_posix()

    def of_image(self, image_id: str, group: str) -> str | None:
        """Return the file that is named like an image, below a folder of its group if several are.

        Raises
        ------
        UnmatchedError
            Several files are, and the group does not tell them apart.
        """
        files = self._by_stem.get(stem_of(image_id), []) if image_id else []
        if len(files) > 1:
            files = [file for file in files if group in PurePosixPath(file).parts[:-1]] or files
        return _only(files, image_id)


def _only(files: Sequence[str], image_id: str) -> str | None:
    if len(files) > 1:
        raise UnmatchedError(f"{image_id}: several files are it: {', '.join(files[:3])}")
    return files[0] if files else None


def _dicom_files(folder: Path, besides: Path) -> tuple[list[str], int]:
    """List files that are named or begin as DICOM does; a folder of results is passed over."""
    found: list[str] = []
    others = 0

    def is_left_out(within: Path) -> bool:
        return within.name.startswith(".") or within.resolve() == besides

    for place, names in walk_folder(folder, is_left_out=is_left_out):
        for name in names:
            path = place / name
            if name in _NO_IMAGES or name.startswith(".") or not _may_be_dicom(path):
                others += 1
            else:
                found.append(path.relative_to(folder).as_posix())
    return found, others


def _may_be_dicom(path: Path) -> bool:
    if path.suffix.lower() in DICOM_ENDINGS:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return True  # it is named among the errors once it is read
