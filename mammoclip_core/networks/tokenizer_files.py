"""The files of a tokenizer: from a folder, or by a model hub's name."""

import shutil
from pathlib import Path
from typing import Final

from mammoclip_core.errors import CheckpointError

TOKENIZER_FILES: Final = (
    "vocab.txt",
    "config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""The only files of a tokenizer folder that are copied into a bundle."""


def find_tokenizer(name: str) -> Path:
    """Return the folder of a tokenizer, downloaded if the name is not a folder.

    Raises
    ------
    CheckpointError
        There is no such folder, and the hub cannot be asked or has no such model; or the
        folder holds neither ``vocab.txt`` nor ``tokenizer.json``.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _downloaded(name)
    if not any((folder / file).is_file() for file in ("vocab.txt", "tokenizer.json")):
        raise CheckpointError(f"tokenizer {name}: it has neither vocab.txt nor tokenizer.json")
    return folder


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy a tokenizer's files into a new folder."""
    target.mkdir()
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(TOKENIZER_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"tokenizer {name} is not a folder and cannot be downloaded from the model hub: "
            f"{type(error).__name__}"
        ) from error
