"""The text encoder of a published checkpoint: which one, how large, and its tensors' places."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from mammoclip_core.checkpoint_layout import Place, Plan
from mammoclip_core.errors import CheckpointError

TEXT_PREFIX: Final = "text_encoder."
OWN_PREFIX: Final = "text_encoder.bert."

_BUFFERS: Final = ("embeddings.position_ids", "embeddings.token_type_ids")
"""What older versions of transformers saved although it is the same in every file."""

_MASKED_WORDS_HEAD: Final = ("cls.", "head.", "decoder.")
"""Begin of the names of a head that predicts masked words: trained beside, never used."""

_LAYER_NUMBER: Final = re.compile(r"encoder\.layer\.(\d+)\.")
_HEAD_SIZE: Final = 64
"""Dimensions of one attention head in every published BERT: the tensors do not tell."""


def text_prefix(state: Mapping[str, Tensor]) -> str | None:
    """Return the prefix of a BERT's tensors; None where the text encoder is another one."""
    wrapped = f"{TEXT_PREFIX}text_encoder."
    names = [name for name in state if name.startswith(TEXT_PREFIX)]
    if not any(name.endswith("attention.self.query.weight") for name in names):
        return None
    prefix = wrapped if any(name.startswith(wrapped) for name in names) else TEXT_PREFIX
    inner = f"{prefix}bert."
    return inner if any(name.startswith(inner) for name in names) else prefix


def without_text(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the image side alone."""
    prefixes = (TEXT_PREFIX, "text_projection.")
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def with_current_names(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors with the names that today's transformers gives a BERT's.

    Buffers that hold no weights, and a head that predicts masked words, are left out.
    """
    outer = prefix.removesuffix("bert.")
    dropped = (
        *(f"{prefix}{name}" for name in _BUFFERS),
        *(f"{outer}{name}" for name in _MASKED_WORDS_HEAD),
    )
    return {
        _current_name(name, prefix): value
        for name, value in state.items()
        if not name.startswith(dropped)
    }


def bert_config(
    state: Mapping[str, Tensor], prefix: str, tokenizer_folder: Path, origin: str
) -> dict[str, int]:
    """Infer the sizes of a BERT from its tensors; the number of heads from the tokenizer's folder.

    Raises
    ------
    CheckpointError
        A tensor that tells a size is missing, or the number of heads cannot be known.
    """

    def shape(name: str, dimensions: int = 2) -> tuple[int, ...]:
        value = state.get(prefix + name)
        if value is None or value.ndim != dimensions:
            raise CheckpointError(f"{origin}: missing or misshapen tensor: {prefix}{name}")
        return tuple(value.shape)

    vocabulary_size, hidden_size = shape("embeddings.word_embeddings.weight")
    numbers = {
        int(match[1])
        for name in state
        if name.startswith(prefix) and (match := _LAYER_NUMBER.match(name.removeprefix(prefix)))
    }
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": max(numbers) + 1,
        "num_attention_heads": _head_count(tokenizer_folder, hidden_size, origin),
        "intermediate_size": shape("encoder.layer.0.intermediate.dense.weight")[0],
        "max_position_embeddings": shape("embeddings.position_embeddings.weight")[0],
        "type_vocab_size": shape("embeddings.token_type_embeddings.weight")[0],
    }


def bert_plan(config: Mapping[str, Any], prefix: str) -> Plan:
    """Return the plan of a BERT's tensors."""
    with torch.device("meta"):
        model = BertModel(BertConfig(**config))
    return {
        prefix + name: Place(name=OWN_PREFIX + name, shape=tuple(value.shape))
        for name, value in model.state_dict().items()
    }


def check_vocabulary(tokenizer_folder: Path, vocabulary_size: int, origin: str) -> None:
    """Refuse a tokenizer of another vocabulary: its ids would mean other words, without an error.

    Raises
    ------
    CheckpointError
        The vocabulary's length is not the number of the model's word embeddings.
    """
    text = (tokenizer_folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n")
    found = text.count("\n") + 1
    if found != vocabulary_size:
        raise CheckpointError(
            f"{origin} has embeddings for {vocabulary_size} words, the tokenizer knows {found}: "
            "it is another model's"
        )


def _current_name(name: str, prefix: str) -> str:
    if not name.startswith(prefix):
        return name
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(f"LayerNorm{old}"):
            return name.removesuffix(old) + new
    return name


def _head_count(tokenizer_folder: Path, hidden_size: int, origin: str) -> int:
    path = tokenizer_folder / "config.json"
    count = hidden_size // _HEAD_SIZE
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("hidden_size") == hidden_size:
            count = int(config.get("num_attention_heads", count))
    if count < 1 or hidden_size % count:
        raise CheckpointError(
            f"{origin}: {hidden_size} dimensions do not tell how many attention heads there are: "
            f"put the text encoder's config.json into the tokenizer's folder"
        )
    return count
