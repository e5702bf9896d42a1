"""The demonstration bundle: small weights, trained on synthetic phantoms, in the package."""

from pathlib import Path
from typing import Final

from mammoclip_core.bundles.folder_copy import copy_folder

_FOLDER: Final = Path(__file__).parents[1] / "demonstration_bundle"


def demonstration_bundle() -> Path:
    """Return the demonstration bundle's folder, which nobody writes into."""
    return _FOLDER


def copy_demonstration_bundle(folder: Path) -> None:
    """Write a copy of the demonstration bundle into an existing empty folder."""
    copy_folder(_FOLDER, folder)
