"""The ModernBERT of Mammo-FM: which settings its file gives, and which must be given."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import ModernBertConfig, ModernBertModel

from mammoclip_core.errors import BundleError, CheckpointError
from mammoclip_core.networks.text_encoder import MODERNBERT, ModernTokenizer
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

OWN_PREFIX: Final = "text_encoder.modernbert."

_BASE_SIZE: Final = (768, 22)
"""Dimensions and layers of ModernBERT-base, whose heads, windows and rotations are known."""

_BASE: Final[Mapping[str, Any]] = {
    "num_attention_heads": 12,
    "global_attn_every_n_layers": 3,
    "local_attention": 128,
    "global_rope_theta": 160000.0,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
}
"""Settings that no tensor gives; the defaults of transformers, which are the base model's."""

_FURTHER: Final = ("layer_types", "rope_parameters")
"""How later versions of transformers write the same down."""

_BASE_WORDS: Final = 50368
_BASE_SPECIAL_IDS: Final = (50280, 50281, 50282, 50283)
"""Ids of the unknown, first, last and padding token that the published training forces."""

_DEFAULT_MAX_TOKENS: Final = 2048
_PREFIX_OF_SOURCE: Final = {"ft": TEXT_PREFIX, "huggingface": TEXT_PREFIX * 2}
_MASKED_WORDS_HEAD: Final = ("head.", "decoder.")
_BUFFERS: Final = ("running_mean", "running_var", "num_batches_tracked")
_LAYER_NUMBER: Final = re.compile(r"layers\.(\d{1,4})\.")
_LAST_NORM: Final = "final_norm.weight"


def is_modernbert(state: Mapping[str, Tensor]) -> bool:
    """Tell whether the text encoder is a ModernBERT, by the names of its attention."""
    return any(name.startswith(TEXT_PREFIX) and name.endswith("attn.Wqkv.weight") for name in state)


def modernbert_side(
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    optimizer: Any,
    tokenizer_folder: Path,
    origin: str,
) -> TextSide:
    """Read the text side of a checkpoint with a ModernBERT.

    Raises
    ------
    CheckpointError
        The file leaves open what is needed, contradicts itself, or the tokenizer is another's.
    """
    prefix = wrapped_prefix(state, "model.")
    outer = prefix.removesuffix("model.")
    source = setting(config, "model.text_encoder.source", str, origin)
    if _PREFIX_OF_SOURCE.get(source) != outer:
        raise CheckpointError(
            f"{origin}: its configuration names the text source {source!r}, its tensors begin with "
            f"{outer}: whether the last norm belongs to the model is not known"
        )
    unused = tuple(f"{outer}{name}" for name in _MASKED_WORDS_HEAD)
    left_out = [name for name in state if name.startswith(unused)]
    trained = was_trained(optimizer, list(state), prefix + _LAST_NORM)
    final_norm = source == "huggingface" if trained is None else trained
    if not final_norm:
        left_out.append(prefix + _LAST_NORM)
    sizes = _sizes(state, prefix, tokenizer_folder, origin)
    _check_tokenizer(tokenizer_folder, sizes["vocab_size"], origin)
    most = config["base"].get("text_max_length") or _DEFAULT_MAX_TOKENS
    if not isinstance(most, int) or most < LEAST_TOKENS:
        raise CheckpointError(f"{origin}: base.text_max_length {most!r} is not a number of tokens")
    return TextSide(
        state={name: value for name, value in state.items() if name not in left_out},
        plan=_plan(sizes, prefix, final_norm=final_norm),
        settings={
            "kind": MODERNBERT,
            "config": sizes,
            "pooling": pooling_of(config, origin),
            "final_norm": final_norm,
            "do_lower_case": True,
            "max_tokens": min(most, sizes["max_position_embeddings"]),
        },
        size=sizes["hidden_size"],
        family="mammo-fm",
        left_out=tuple(left_out),
    )


def was_trained(optimizer: Any, names: list[str], wanted: str) -> bool | None:
    """Tell from an optimizer's state whether a parameter ever had a gradient; None if unknown.

    The state names parameters by number, in the order of the model's: a number without an entry
    never had a gradient. Under the source ``ft``, transformers 4.48 gives out the hidden states
    from before the last norm, which then is in the file and not in the model.
    """
    state = optimizer.get("state") if isinstance(optimizer, Mapping) else None
    groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
    parameters = [name for name in names if not name.endswith(_BUFFERS)]
    if not state or not isinstance(groups, list) or len(groups) != 1 or wanted not in parameters:
        return None
    numbers = groups[0].get("params") if isinstance(groups[0], Mapping) else None
    if not isinstance(numbers, list) or len(numbers) != len(parameters):
        return None
    return numbers[parameters.index(wanted)] in state


def _sizes(
    state: Mapping[str, Tensor], prefix: str, tokenizer_folder: Path, origin: str
) -> dict[str, Any]:
    def shape(name: str) -> tuple[int, ...]:
        value = state.get(prefix + name)
        if value is None or value.ndim != 2:
            raise CheckpointError(f"{origin}: missing or misshapen tensor: {prefix}{name}")
        return tuple(value.shape)

    words, size = shape("embeddings.tok_embeddings.weight")
    layers = layers_of(state, prefix, _LAYER_NUMBER, origin)
    assumed = dict(_BASE)
    if (size, layers) != _BASE_SIZE:
        told = json_of(tokenizer_folder / "config.json")
        if (told.get("hidden_size"), told.get("num_hidden_layers")) != (size, layers):
            raise CheckpointError(
                f"{origin}: a ModernBERT of {size} dimensions and {layers} layers is not known: "
                "put its config.json into the tokenizer's folder, or omit the text encoder by "
                "--image-only"
            )
        assumed |= {key: told[key] for key in (*_BASE, *_FURTHER) if key in told}
    return {
        "vocab_size": words,
        "hidden_size": size,
        "intermediate_size": shape("layers.0.mlp.Wo.weight")[1],
        "num_hidden_layers": layers,
        "pad_token_id": min(_BASE_SPECIAL_IDS[-1], words - 1),
        **assumed,
    }


def _plan(sizes: Mapping[str, Any], prefix: str, *, final_norm: bool) -> Plan:
    try:
        with torch.device("meta"):
            model = ModernBertModel(ModernBertConfig(**sizes))
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"no ModernBERT has these sizes: {dict(sizes)}: {error}") from error
    return {
        prefix + name: Place(name=OWN_PREFIX + name, shape=tuple(value.shape))
        for name, value in model.state_dict().items()
        if final_norm or name != _LAST_NORM
    }


def _check_tokenizer(folder: Path, words: int, origin: str) -> None:
    """Refuse a tokenizer whose ids would mean other words, without an error."""
    try:
        tokenizer = ModernTokenizer(folder, do_lower_case=True)
    except BundleError as error:
        raise CheckpointError(f"{origin} holds a ModernBERT: {error}") from error
    ids = tokenizer.special_ids
    if tokenizer.size > words or (words == _BASE_WORDS and ids != _BASE_SPECIAL_IDS):
        raise CheckpointError(
            f"{origin} has embeddings for {words} words, the tokenizer knows {tokenizer.size}, "
            f"special ones {', '.join(map(str, ids))}: it is another model's"
        )
