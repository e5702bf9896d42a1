"""Small checkpoints in the published layouts, for the converter's tests."""

import math
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from core_factory import breast
from drawn_weights import write_tokenizer
from numpy.typing import NDArray
from published_files import save_as_numpy_1
from torch import Tensor
from transformers import BertConfig, BertModel

from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.projection import build_projection
from mammoclip_core.published.models import published_keys

ARCHITECTURE = "tf_efficientnet_b0"
TEXT = "text_encoder.text_encoder."
HIDDEN = 64
PROJECTION = 32

SIZE = (190, 114)
"""Rows and columns of the configuration's input."""

State = dict[str, Tensor]


def batch() -> NDArray[np.float32]:
    grey = breast(*SIZE).astype(np.float32)
    grey = (grey / grey.max() - np.float32(0.3089279)) / np.float32(0.25053555)
    return np.repeat(grey[np.newaxis, np.newaxis], 3, axis=1)


def tokenizer(folder: Path) -> Path:
    """Write a tokenizer that knows the lexicon's words."""
    write_tokenizer(folder, [prompt for entry in DEFAULT_FINDINGS for prompt in entry.prompts])
    return folder


def vocabulary_size(folder: Path) -> int:
    return len((folder / "vocab.txt").read_text().splitlines())


def encoder_state(prefix: str = "image_encoder.", architecture: str = ARCHITECTURE) -> State:
    """Return an image encoder with random weights under its published names."""
    torch.manual_seed(0)
    state = ImageEncoder(architecture).backbone.state_dict()
    return {prefix + key: state[name] for name, key in published_keys(state, architecture).items()}


def bert_state(words: int, prefix: str = TEXT) -> State:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=words,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=80,
    )
    return {prefix + name: value for name, value in BertModel(config).state_dict().items()}


def projections(kind: str = "linear", features: int = 1280) -> State:
    torch.manual_seed(2)
    state = {}
    for modality, size in (("image", features), ("text", HIDDEN)):
        inner = "projection." if kind == "linear" else ""
        for name, value in build_projection(kind, size, PROJECTION).state_dict().items():
            state[f"{modality}_projection.{inner}{name}"] = value
    return state


def pretraining_state(words: int, kind: str = "linear") -> State:
    return {
        **encoder_state(),
        **bert_state(words),
        **projections(kind),
        "logit_scale": torch.tensor(math.log(1 / 0.07)),
    }


def configuration(**changes: Any) -> dict[str, Any]:
    """Return the parts of a training configuration that a converter reads."""
    config: dict[str, Any] = {
        "model": {
            "name": "clip_custom",
            "temperature": 0.07,
            "image_encoder": {"source": "cnn", "name": ARCHITECTURE},
            "text_encoder": {"source": "huggingface", "pooling": "eos"},
            "projection_head": {"name": "linear", "dropout": 0.1, "proj_dim": PROJECTION},
        },
        "base": {
            "mean": 0.3089279,
            "std": 0.25053555408335154,
            "image_size_h": 190,
            "image_size_w": 114,
            "text_max_length": 64,
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


def write_pretraining(path: Path, state: Mapping[str, Any], config: Any = None) -> Path:
    content = {
        "model": dict(state),
        "optimizer": {},
        "scheduler": {},
        "config": configuration() if config is None else config,
        "epoch": 7,
        "train_loss": 1.0,
    }
    torch.save(content, path)
    return path


def write_classifier(path: Path, state: State, *, numpy_1: bool = True) -> Path:
    content = {
        "model": state,
        "predictions": np.zeros(8, np.float32),
        "epoch": 3,
        "auroc": np.float64(0.8),
    }
    save = save_as_numpy_1 if numpy_1 else torch.save
    save(content, path)
    return path


def classifier_state(outputs: int = 1, *, bare: bool = False) -> State:
    torch.manual_seed(3)
    state = encoder_state("" if bare else "image_encoder.")
    linear = "_fc." if bare else "classifier.classification_head."
    state[f"{linear}weight"] = torch.randn(outputs, 1280) / 36
    state[f"{linear}bias"] = torch.randn(outputs) / 10
    return state


@contextmanager
def omegaconf_list(values: list[float]) -> Iterator[Any]:
    """Yield what pickles as an OmegaConf list does, although OmegaConf is not installed."""
    names = {
        "omegaconf": (),
        "omegaconf.base": ("ContainerMetadata", "Metadata"),
        "omegaconf.listconfig": ("ListConfig",),
        "omegaconf.nodes": ("AnyNode",),
    }
    made: dict[str, Any] = {}
    for module_name, classes in names.items():
        module = types.ModuleType(module_name)
        for name in classes:
            made[name] = type(name, (), {"__module__": module_name})
            setattr(module, name, made[name])
        sys.modules[module_name] = module
    try:
        metadata = made["ContainerMetadata"]()
        metadata.__dict__.update(ref_type=Any, object_type=list, key_type=int, flags={})
        items = []
        for value in values:
            node = made["AnyNode"]()
            node.__dict__.update(_metadata=made["Metadata"](), _parent=None, _val=value)
            items.append(node)
        whole = made["ListConfig"]()
        whole.__dict__.update(_metadata=metadata, _parent=None, _content=items)
        yield whole
    finally:
        for module_name in names:
            del sys.modules[module_name]
