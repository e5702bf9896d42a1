"""BERT and ModernBERT through transformers: texts in, one pooled vector a text out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
)

from mammoclip_core.errors import BundleError

POOLINGS: Final = ("eos", "bos", "mean")
DEFAULT_MAX_TOKENS: Final = 256
BERT: Final = "bert"
MODERNBERT: Final = "modernbert"


class TextTokenizer(Protocol):
    """Texts to the tokens that a text encoder takes."""

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return (B, T) tensors by name, ``attention_mask`` among them, padded right."""


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
            raise BundleError(f"{folder} has no vocab.txt")
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


class ModernTokenizer:
    """A byte-level tokenizer read from the tokenizer.json of a folder, without any network.

    Parameters
    ----------
    do_lower_case : bool
        The vocabulary is a cased one, and nothing of the tokenizer lower-cases; the reports of the
        published training were lower-cased before it.
    max_tokens : tokens
        Longer texts are truncated.
    """

    def __init__(
        self, folder: Path, *, do_lower_case: bool, max_tokens: int = DEFAULT_MAX_TOKENS
    ) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise BundleError(f"{folder} has no tokenizer.json")
        try:
            self._tokenizer = PreTrainedTokenizerFast(
                tokenizer_file=str(path),
                unk_token="[UNK]",  # noqa: S106
                cls_token="[CLS]",  # noqa: S106
                sep_token="[SEP]",  # noqa: S106
                pad_token="[PAD]",  # noqa: S106
                padding_side="right",
            )
            ends = self._tokenizer("a")["input_ids"]
        except Exception as error:  # tokenizers raises no class of its own
            raise BundleError(f"{path} is not a tokenizer: {error}") from error
        self.special_ids: tuple[int, ...] = (
            self._tokenizer.unk_token_id,
            self._tokenizer.cls_token_id,
            self._tokenizer.sep_token_id,
            self._tokenizer.pad_token_id,
        )
        if (ends[0], ends[-1]) != self.special_ids[1:3]:
            raise BundleError(f"{path} does not put a text between [CLS] and [SEP]")
        self.size: int = len(self._tokenizer)
        self._do_lower_case = do_lower_case
        self._max_tokens = max_tokens

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return ``input_ids`` and ``attention_mask``, (B, T), padded right."""
        encoded = self._tokenizer(
            [text.lower() for text in texts] if self._do_lower_case else list(texts),
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_token_type_ids=False,
            return_tensors="pt",
        )
        return dict(encoded)


class TextEncoder(nn.Module):
    """BERT or ModernBERT with its pooling over tokens.

    Parameters
    ----------
    config : keyword arguments of transformers' BertConfig or ModernBertConfig
    pooling : ``eos``, ``bos`` or ``mean``
        The last attended token, the first, or the mean over the attended ones.
    kind : ``bert`` or ``modernbert``
    final_norm : bool
        Whether a ModernBERT's last norm belongs to the model: where it was trained on hidden states
        from before it, it does not.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        pooling: str = "eos",
        *,
        kind: str = BERT,
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise BundleError(f"text pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
        if kind not in {BERT, MODERNBERT}:
            raise BundleError(f"text encoder {kind!r} is neither {BERT} nor {MODERNBERT}")
        if kind == BERT:
            self.bert = BertModel(BertConfig(**config))
        else:
            # transformers 4.48 would compile parts of it at the first text otherwise.
            self.modernbert = ModernBertModel(ModernBertConfig(**config, reference_compile=False))
            if not final_norm:
                self.modernbert.final_norm = nn.Identity()
        self.kind = kind
        self.pooling = pooling
        self.size: int = config["hidden_size"]

    def forward(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Compute one vector a text, (B, D)."""
        model = self.bert if self.kind == BERT else self.modernbert
        hidden: Tensor = model(**tokens).last_hidden_state
        return pool_tokens(hidden, tokens["attention_mask"], self.pooling)


def build_text_encoder(settings: Mapping[str, Any]) -> TextEncoder:
    """Build the text encoder that a manifest's `text_encoder` describes, without its weights.

    Raises
    ------
    BundleError
        The settings describe none.
    """
    try:
        return TextEncoder(
            settings["config"],
            settings["pooling"],
            kind=settings.get("kind", BERT),
            final_norm=settings.get("final_norm", True),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"the manifest describes no text encoder: {error!r}") from error


def build_tokenizer(settings: Mapping[str, Any], folder: Path) -> TextTokenizer:
    """Read the tokenizer that a manifest's `text_encoder` describes; raises BundleError."""
    kind = Tokenizer if settings.get("kind", BERT) == BERT else ModernTokenizer
    return kind(
        folder,
        do_lower_case=settings.get("do_lower_case", True),
        max_tokens=settings.get("max_tokens", DEFAULT_MAX_TOKENS),
    )


def pool_tokens(hidden: Tensor, attention_mask: Tensor, pooling: str) -> Tensor:
    """Reduce (B, T, D) hidden states to (B, D)."""
    if pooling == "bos":
        return hidden[:, 0]
    if pooling == "eos":
        last = attention_mask.sum(dim=-1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
