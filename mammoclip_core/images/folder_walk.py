"""Walks a folder and what links in it lead to: data sets are often links to where disks are."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk_folder(
    root: Path,
    *,
    on_error: Callable[[OSError], object] | None = None,
    is_left_out: Callable[[Path], bool] = lambda folder: False,
) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder below one, itself included, with its names of other than folders, sorted.

    A link to a folder is followed, and the paths begin with the link. What is reached in another
    way, too, is yielded once: a link within the folder, one that leads back to where it lies, and
    a second one to the same place are passed over.

    Parameters
    ----------
    on_error : told of the folders that nobody may look into
    is_left_out : of a folder, which is then not entered
    """
    reached: set[str] = set()
    waiting = [(root, os.path.realpath(root))]
    while waiting:
        start, real_start = waiting.pop()
        if _is_reached(real_start, reached):
            continue
        reached.add(real_start)
        links: list[tuple[Path, str]] = []
        for place, folders, names in os.walk(start, onerror=on_error):
            real = os.path.normpath(Path(real_start, os.path.relpath(place, start)))
            entered = []
            for name in sorted(folders):
                folder = Path(place, name)
                if is_left_out(folder):
                    continue
                if is_link(folder):
                    target = os.path.realpath(folder)
                    if not _is_within(real, target):
                        links.append((folder, target))
                elif f"{real.rstrip(os.sep)}{os.sep}{name}" not in reached:
                    entered.append(name)
            folders[:] = entered
            yield Path(place), sorted(names)
        waiting += reversed(links)


def paths_below(root: Path) -> list[Path]:
    """Return all paths below a folder that are no folders, sorted; links are followed."""
    return sorted(folder / name for folder, names in walk_folder(root) for name in names)


def is_link(path: Path) -> bool:
    """Tell whether a path is a link; what cannot be looked at counts as none."""
    try:
        return path.is_symlink()
    except OSError:
        return False


def _is_reached(place: str, reached: set[str]) -> bool:
    """Tell whether a folder, or one that it lies in, has been walked."""
    return any(str(folder) in reached for folder in (Path(place), *Path(place).parents))


def _is_within(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder.rstrip(os.sep) + os.sep)
