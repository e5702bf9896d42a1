"""The demonstration bundle: small weights, trained on synthetic phantoms, in the package."""

import shutil
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parents[1] / "demonstration_bundle"


def demonstration_bundle() -> Path:
    """Return the demonstration bundle's folder, which nobody writes into."""
    return _FOLDER


def copy_demonstration_bundle(folder: Path) -> None:
    """Write a copy of the demonstration bundle into an existing empty folder."""
    shutil.copytree(_FOLDER, folder, dirs_exist_ok=True)
