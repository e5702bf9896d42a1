"""BERT through transformers: texts in, one pooled vector a text out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer

from mammoclip_core.errors import BundleError

POOLINGS: Final = ("eos", "bos", "mean")
DEFAULT_MAX_TOKENS: Final = 256


class Tokenizer:
    """A WordPiece tokenizer read from a folder, without any network.

    Parameters
    ----------
    do_lower_case : bool
        Always said: the published weights were trained on lower-cased text although their
        vocabulary is a cased one, and the folder they came with does not say so.
    max_tokens : tokens
        Longer texts are truncated.
    """

    def __init__(
        self, folder: Path, *, do_lower_case: bool, max_tokens: int = DEFAULT_MAX_TOKENS
    ) -> None:
        if not (folder / "vocab.txt").is_file():
            raise BundleError(f"{folder} holds no vocab.txt")
        self._tokenizer = BertTokenizer.from_pretrained(
            str(folder), do_lower_case=do_lower_case, local_files_only=True
        )
        self._max_tokens = max_tokens

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``token_type_ids``, (B, T), padded right."""
        encoded = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_token_type_ids=True,
            return_tensors="pt",
        )
        return dict(encoded)


class TextEncoder(nn.Module):
    """BERT with its pooling over tokens.

    Parameters
    ----------
    config : keyword arguments of transformers' BertConfig
    pooling : ``eos``, ``bos`` or ``mean``
        The last attended token, the first, or the mean over the attended ones.
    """

    def __init__(self, config: Mapping[str, Any], pooling: str = "eos") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise BundleError(f"text pooling {pooling!r} is none of {', '.join(POOLINGS)}")
        self.bert = BertModel(BertConfig(**config))
        self.pooling = pooling
        self.size: int = self.bert.config.hidden_size

    def forward(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Compute one vector a text, (B, D)."""
        hidden: Tensor = self.bert(**tokens).last_hidden_state
        return pool_tokens(hidden, tokens["attention_mask"], self.pooling)


def pool_tokens(hidden: Tensor, attention_mask: Tensor, pooling: str) -> Tensor:
    """Reduce (B, T, D) hidden states to (B, D)."""
    if pooling == "bos":
        return hidden[:, 0]
    if pooling == "eos":
        last = attention_mask.sum(dim=-1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
