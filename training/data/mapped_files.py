"""Which files the rows of a mapped table are about, and what their headers and names say."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from mammoclip_core.images.folder_walk import paths_below
from training.data.image_files import find_listed, find_named
from training.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

_NAMED: Final = 5


def row_files(
    cells: Sequence[str],
    image_is: str,
    folders: Sequence[Path],
    table: Path,
    *,
    may_be_missing: bool = False,
) -> list[Path]:
    """Return each row's file.

    Parameters
    ----------
    image_is : how a cell names a file
        ``path``, below one of the folders; ``name``, of the file, its ending and folders left
        out; ``prefix``, what the name begins with, before ``_``; ``folder``, a path whose first
        part is a folder with this image alone.

    Raises
    ------
    TableError
        Images are missing, or there are several of a name.
    """
    if image_is == "path":
        return list(find_listed(folders, cells, table, may_be_missing=may_be_missing))
    paths = [PurePosixPath(cell.replace("\\", "/")) for cell in cells]
    if image_is == "name":
        stems = [path.stem if path.suffix.lower() in _ENDINGS else path.name for path in paths]
        groups = [path.parent.name for path in paths]
        return list(find_named(folders, groups, stems, table, may_be_missing=may_be_missing))
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for file in paths_below(folder):
            if file.is_file() and file.suffix.lower() in _ENDINGS:
                if image_is == "prefix":
                    found.setdefault(re.split(r"[_.]", file.name)[0], []).append(file)
                else:
                    for part in file.relative_to(folder).parts[:-1]:
                        found.setdefault(part, []).append(file)
    wanted = [path.parts[0] if image_is == "folder" else path.stem for path in paths]
    for fault, names in (
        ("are not there", [name for name in wanted if name not in found]),
        ("are there several times", [name for name in wanted if len(found.get(name, ())) > 1]),
    ):
        if names and not (may_be_missing and fault == "are not there"):
            unique = list(dict.fromkeys(names))
            listed = ", ".join(unique[:_NAMED]) + (", ..." if len(unique) > _NAMED else "")
            raise TableError(
                f"{table}: {len(unique)} images {fault} under {', '.join(map(str, folders))}: "
                f"{listed}"
            )
    return [found.get(name, [folders[0] / name])[0] for name in wanted]


_ENDINGS: Final = (".dcm", ".dicom", ".png", ".tif", ".tiff", ".jpg", ".jpeg")


def images_by_header(folders: Sequence[Path]) -> "pd.DataFrame":
    """Return the DICOM images below folders: ``file``, ``patient``, ``laterality``, ``view``."""
    import pandas as pd
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = ["PatientID", "ImageLaterality", "Laterality", "ViewPosition"]
    rows = []
    for folder in folders:
        for file in paths_below(folder):
            if not file.is_file():
                continue
            try:
                header = dcmread(file, stop_before_pixels=True, specific_tags=tags)
            except (InvalidDicomError, OSError):
                continue
            laterality = header.get("ImageLaterality") or header.get("Laterality") or ""
            rows.append(
                (
                    file,
                    str(header.get("PatientID", "")).strip(),
                    laterality,
                    header.get("ViewPosition", ""),
                )
            )
    return pd.DataFrame(rows, columns=["file", "patient", "laterality", "view"])


def patient_in_name(file: Path, pattern: str) -> str:
    """Return what a pattern's first group finds in a file's name; raises ValueError."""
    found = re.search(pattern, file.name)
    if found is None or not found.groups():
        raise ValueError(f"the file name {file.name} does not tell the patient ({pattern})")
    return found.group(1)
