"""A bundle's folder copied, with the file named that the disk does not take."""

import shutil
from pathlib import Path

from mammoclip_core.errors import BundleError


def copy_folder(source: Path, folder: Path) -> None:
    """Copy all that a bundle's folder, or its tokenizer's, holds into one that is made if missing.

    Raises
    ------
    BundleError
        A file cannot be read, or the disk does not take it.
    """
    for path in (source, *sorted(source.rglob("*"))):
        copy = folder / path.relative_to(source)
        try:
            if path.is_dir():
                copy.mkdir(parents=True, exist_ok=True)
            else:
                shutil.copyfile(path, copy)
        except OSError as error:  # of `copytree`'s it could not be said what failed
            reason = error.strerror or type(error).__name__
            raise BundleError(f"{path} cannot be copied to {copy}: {reason}") from error
