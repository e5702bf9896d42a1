"""A WordPiece tokenizer trained on the sentences that reports are written of."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tokenizers import BertWordPieceTokenizer

from mammoclip_core.lexicon import DEFAULT_FINDINGS
from training.reports.report_synthesis import (
    Attribute,
    Observation,
    negative_sentences,
    positive_sentences,
)

VOCABULARY_SIZE: Final = 600


def report_sentences() -> Iterator[str]:
    """Yield every sentence of the lexicon, and the default prompts."""
    for laterality in "LR":
        for attribute in Attribute:
            yield from positive_sentences(Observation(attribute=attribute), laterality)
            yield from negative_sentences(attribute, laterality)
    for entry in DEFAULT_FINDINGS:
        yield from entry.prompts


def write_trained_tokenizer(
    folder: Path, texts: Sequence[str] | None = None, *, attention_heads: int, hidden_size: int
) -> int:
    """Train a lower-casing tokenizer and write its folder; returns the vocabulary's size.

    The folder's ``config.json`` tells the text encoder's heads, which its tensors do not.
    """
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        report_sentences() if texts is None else texts,
        vocab_size=VOCABULARY_SIZE,
        min_frequency=1,
        show_progress=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}) + "\n",
        encoding="utf-8",
    )
    (folder / "config.json").write_text(
        json.dumps({"hidden_size": hidden_size, "num_attention_heads": attention_heads}) + "\n",
        encoding="utf-8",
    )
    return int(tokenizer.get_vocab_size())
