"""The BERT of a published checkpoint: how large it is, and its tensors' places in a bundle."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from mammoclip_core.errors import CheckpointError
from mammoclip_core.networks.text_encoder import BERT
from mammoclip_core.published.checkpoint_layout import (
    LEAST_TOKENS,
    TEXT_PREFIX,
    Place,
    Plan,
    TextSide,
    json_of,
    layers_of,
    pooling_of,
    setting,
    wrapped_prefix,
)

OWN_PREFIX: Final = "text_encoder.bert."

_BUFFERS: Final = ("embeddings.position_ids", "embeddings.token_type_ids")
"""What older versions of transformers saved although it is the same in every file."""

_MASKED_WORDS_HEAD: Final = ("cls.", "head.", "decoder.")
"""Begin of the names of a head that predicts masked words: trained beside, never used."""

_LAYER_NUMBER: Final = re.compile(r"encoder\.layer\.(\d{1,4})\.")
_HEAD_SIZE: Final = 64
"""Dimensions of one attention head in every published BERT: the tensors do not tell."""


def is_bert(state: Mapping[str, Tensor]) -> bool:
    """Tell whether the text encoder is a BERT, by the names of its attention."""
    mark = "attention.self.query.weight"
    return any(name.startswith(TEXT_PREFIX) and name.endswith(mark) for name in state)


def bert_side(
    state: Mapping[str, Tensor], config: Mapping[str, Any], tokenizer_folder: Path, origin: str
) -> TextSide:
    """Read the text side of a checkpoint with a BERT.

    Raises
    ------
    CheckpointError
        No tensor gives a size, a needed setting is missing, or the tokenizer is another
        model's.
    """
    prefix = wrapped_prefix(state, "bert.")
    outer = prefix.removesuffix("bert.")
    buffers = tuple(f"{prefix}{name}" for name in _BUFFERS)
    unused = tuple(f"{outer}{name}" for name in _MASKED_WORDS_HEAD)
    left_out = tuple(name for name in state if name.startswith(unused))
    named = {
        _current_name(name, prefix): value
        for name, value in state.items()
        if not name.startswith((*buffers, *unused))
    }
    sizes = bert_config(named, prefix, tokenizer_folder, origin)
    check_vocabulary(tokenizer_folder, sizes["vocab_size"], origin)
    most = setting(config, "base.text_max_length", int, origin)
    if most < LEAST_TOKENS:
        raise CheckpointError(f"{origin}: base.text_max_length {most} is not a number of tokens")
    return TextSide(
        state=named,
        plan=bert_plan(sizes, prefix),
        settings={
            "kind": BERT,
            "config": sizes,
            "pooling": pooling_of(config, origin),
            "do_lower_case": True,
            "max_tokens": min(most, sizes["max_position_embeddings"]),
        },
        size=sizes["hidden_size"],
        family="mammo-clip",
        left_out=left_out,
    )


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
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": layers_of(state, prefix, _LAYER_NUMBER, origin),
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
    path = tokenizer_folder / "vocab.txt"
    if not path.is_file():
        raise CheckpointError(f"{origin} holds a BERT: its tokenizer needs a vocab.txt")
    try:
        text = path.read_text(encoding="utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not a vocabulary: it is not UTF-8") from error
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
    config = json_of(tokenizer_folder / "config.json")
    count: Any = hidden_size // _HEAD_SIZE
    if config.get("hidden_size") == hidden_size:
        count = config.get("num_attention_heads", count)
    if not isinstance(count, int) or count < 1 or hidden_size % count:
        raise CheckpointError(
            f"{origin}: {hidden_size} dimensions do not tell how many attention heads there are: "
            f"put the text encoder's config.json into the tokenizer's folder"
        )
    return count
