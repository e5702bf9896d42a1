"""Where a table's images lie: by name anywhere below some folders, or by the path it gives."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mammoclip_core.images.folder_walk import paths_below
from training.errors import TableError

_NAMED: Final = 5
"""How many of the missing are named."""


def find_named(
    folders: Sequence[Path],
    groups: Sequence[str],
    names: Sequence[str],
    table: Path,
    *,
    may_be_missing: bool = False,
) -> tuple[Path, ...]:
    """Return each image's file: its name without ending, in its group's folder if in several.

    Parameters
    ----------
    groups : the folder of each image in the published layouts, its study's or patient's
        One in another, ``PATIENT/left``, is looked for as such; empty where none is known.
    names : of images, without ending
    may_be_missing : bool
        Return a path where nothing is for an image that is missing.

    Raises
    ------
    TableError
        Images are missing, or are there several times.
    """
    wanted = set(names)
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for path in paths_below(folder):
            if path.stem in wanted and path.is_file():
                found.setdefault(path.stem, []).append(path)
    files: list[Path] = []
    missing: list[str] = []
    doubled: list[str] = []
    for group, name in zip(groups, names, strict=True):
        paths = found.get(name, [])
        if len(paths) > 1:
            parts = Path(group).parts
            in_group = [
                path for path in paths if parts and path.parts[-1 - len(parts) : -1] == parts
            ]
            paths = in_group or ([] if may_be_missing and group else paths)
        if len(paths) == 1:
            files.append(paths[0])
        elif not paths and may_be_missing:
            files.append(folders[0] / group / name)
        else:
            (doubled if paths else missing).append(f"{group}/{name}" if group else name)
    _refuse(missing, f"are not under {_listed(folders)}", table)
    _refuse(doubled, f"are there several times under {_listed(folders)}", table)
    return tuple(files)


def find_listed(
    folders: Sequence[Path], paths: Sequence[str], table: Path, *, may_be_missing: bool = False
) -> tuple[Path, ...]:
    """Return the files that a table gives by their paths below one of the folders.

    Where there is no such file, backslashes part folders too: the table may come from Windows.

    Parameters
    ----------
    may_be_missing : bool
        Return a path where nothing is for a file that is missing below them.

    Raises
    ------
    TableError
        Files are missing, or lie outside the folders.
    """
    # A link within a folder may lead anywhere: what a name says decides, not what it leads to.
    roots = list(
        dict.fromkeys(
            place
            for folder in folders
            for place in (Path(os.path.normpath(folder.absolute())), folder.resolve())
        )
    )
    files: list[Path] = []
    missing: list[str] = []
    for name in paths:
        within = [
            place
            for spelling in dict.fromkeys((name, name.replace("\\", "/")))
            for root in roots
            if (place := Path(os.path.normpath(root / spelling))).is_relative_to(root)
        ]
        there = [place for place in within if place.is_file()]
        if there or (within and may_be_missing):
            files.append((there or within)[0])
        else:
            missing.append(name)
    _refuse(missing, f"are not under {_listed(folders)}", table)
    return tuple(files)


def name_below(folder: Path, file: Path) -> str:
    """Return a file's path below the folder that it was found in, parted by ``/``."""
    bases = (folder, Path(os.path.normpath(folder.absolute())), folder.resolve())
    base = next((base for base in bases if file.is_relative_to(base)), None)
    if base is None:
        folder, file = folder.resolve(), file.resolve()
    return file.relative_to(base or folder).as_posix()


def said_of(path: Path, error: Exception | str) -> str:
    """Return what is wrong with a file, behind its path where the error does not begin with it."""
    words = str(error)
    return words if words.startswith(str(path)) else f"{path}: {words}"


def _refuse(names: Sequence[str], fault: str, table: Path) -> None:
    if names:
        more = ", ..." if len(names) > _NAMED else ""
        listed = ", ".join(names[:_NAMED])
        raise TableError(f"{table}: {len(names)} images {fault}: {listed}{more}")


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))
