"""A bundle's folder copied, with the file named that the disk does not take."""

import shutil
from pathlib import Path

from mammoclip_core.errors import BundleError
from mammoclip_core.images.folder_walk import walk_folder


def copy_folder(source: Path, folder: Path) -> None:
    """Copy all that a bundle's folder, or its tokenizer's, holds into one that is made if missing.

    Links are followed: the copy stands by itself.

    Raises
    ------
    BundleError
        A file cannot be read, or the disk does not take it.
    """
    for place, names in walk_folder(source, on_error=_refuse):
        for path in (place, *(place / name for name in names)):
            _copy(path, folder / path.relative_to(source))


def _refuse(error: OSError) -> None:
    raise BundleError(f"{error.filename} cannot be read: {error.strerror}") from error


def _copy(path: Path, copy: Path) -> None:
    try:
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            shutil.copyfile(path, copy)
    except OSError as error:  # of `copytree`'s it could not be said what failed
        reason = error.strerror or type(error).__name__
        raise BundleError(f"{path} cannot be copied to {copy}: {reason}") from error
