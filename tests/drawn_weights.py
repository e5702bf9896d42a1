"""Seeded weights and a tokenizer for them, the same to the bit everywhere."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_tokenizer(folder: Path, texts: Sequence[str]) -> int:
    """Write a WordPiece tokenizer that knows the words of some texts and all letters.

    Returns
    -------
    int
        Size of the vocabulary.
    """
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = sorted({word for text in texts for word in text.lower().split()})
    vocabulary = dict.fromkeys(
        [*SPECIAL_TOKENS, *words, *letters, *(f"##{letter}" for letter in letters)]
    )
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")
    return len(vocabulary)


def text_config(vocabulary_size: int) -> dict[str, int]:
    """Return the configuration of a BERT of two layers."""
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 256,
    }


def frozen_generator(name: str, seed: int) -> np.random.RandomState:
    """Return a generator whose stream NumPy has promised never to change (NEP 19)."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.RandomState(int.from_bytes(digest[:4], "little"))


def drawn_weight(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Draw one tensor: scaled by its fan-in; gains near 1, offsets near 0."""
    values = frozen_generator(name, seed).standard_normal(size=shape)
    if len(shape) == 4:
        values = values * np.sqrt(2.0 / np.prod(shape[1:]))
    elif len(shape) == 2:
        values = values * np.sqrt(1.0 / shape[1])
    else:
        values = 0.1 * values + name.endswith(".weight")
    return values.astype(np.float16).astype(np.float64)
