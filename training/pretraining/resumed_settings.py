"""A run that is taken up goes on by the settings it began with, or is refused."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from mammoclip_core.bundles.tensor_names import tensor_differences
from mammoclip_core.file_digest import file_sha256
from training.data.image_source import NAMES_NAME, is_picture_folder
from training.errors import SettingsError
from training.pretraining.network import VOCABULARY_NAME, NetworkSettings, tokenizer_folder

Facts = dict[str, Any]

_FREE_OF_NETWORK: Final = ("bundle", "image_weights", "text_weights", "tokenizer")
"""Where a run began from, which its checkpoint holds, and paths that may have moved.

Of a tokenizer the words are a fact of their own.
"""


def network_facts(network: NetworkSettings) -> Facts:
    """Return what of a network's settings a run must keep."""
    return {
        f"model.network.{name}": value
        for name, value in asdict(network).items()
        if name not in _FREE_OF_NETWORK
    }


def tokenizer_facts(network: NetworkSettings) -> Facts:
    """Return what of a tokenizer a run must keep: its words in their order, wherever they lie."""
    words = file_sha256(tokenizer_folder(network) / VOCABULARY_NAME)
    return {"model.network.tokenizer": f"{VOCABULARY_NAME} of digest {words[:12]}"}


def data_facts(settings: Mapping[str, Any], ranks: int) -> Facts:
    """Return what of the data's settings a run must keep: tables by what they hold.

    Parameters
    ----------
    settings : as `dataclasses.asdict` gives them
    ranks : processes that train together
    """
    facts = {
        f"data.settings.{name}": [_set_facts(item) for item in value]
        if isinstance(value, list)
        else value
        for name, value in settings.items()
        if name not in {"workers", "skip_unreadable"}
    }
    return {**facts, "processes that train together": ranks}


def picture_facts(folders: Mapping[str, str]) -> Facts:
    """Return what of the pictures themselves a run must keep: their names, and files' sizes.

    Not what the files hold: of hundreds of thousands that would be read again at each start. An
    array's ``images.json`` is condensed in their place: `pack` keeps there what each held.

    Parameters
    ----------
    folders : of each picture by its name, those that are left out aside
    """
    arrays = {
        folder: file_sha256(Path(folder) / NAMES_NAME)
        for folder in set(folders.values())
        if not is_picture_folder(Path(folder))
    }
    condensed = hashlib.sha256()
    for name, folder in sorted(folders.items()):
        held = arrays.get(folder) or (Path(folder) / name).stat().st_size
        condensed.update(f"{name}\t{held}\n".encode())
    return {"pictures": f"{len(folders)} of digest {condensed.hexdigest()[:12]}"}


def require_same(saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuse to go on from a checkpoint that other settings made.

    Raises
    ------
    SettingsError
        The message names what differs, as it was and as it is.
    """
    differences = [
        f"{name} was {_shown(saved[name])}, is {_shown(value)}"
        for name, value in current.items()
        if name in saved and saved[name] != value
    ]
    if differences:
        raise SettingsError(
            f"the checkpoint is of a run with other settings: {'; '.join(differences)}. Give the "
            "same settings and tables, or begin anew with --resume none and another --out"
        )


def require_shapes(saved: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> None:
    """Refuse the weights of another network, which no setting tells in checkpoints of old.

    Raises
    ------
    SettingsError
        The message names tensors that differ.
    """
    differences = tensor_differences(
        *({name: tuple(value.shape) for name, value in one.items()} for one in (current, saved))
    )
    if differences:
        raise SettingsError(
            f"the checkpoint is of another network or tokenizer: {differences}. Give the same "
            "settings, or begin anew with --resume none and another --out"
        )


def _set_facts(item: Mapping[str, Any]) -> Facts:
    facts = {name: value for name, value in item.items() if name not in {"table", "images"}}
    if "table" in item:
        facts["table"] = file_sha256(Path(item["table"]))[:12]
    return facts


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_shown(item)}" for name, item in value.items())
    return str(value)
