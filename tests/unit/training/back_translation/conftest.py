"""Two tiny MarianMT models on disk that have learned a handful of sentences by heart."""

import io
import json

import pytest
import sentencepiece
import torch
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

THERE = {
    "there is an irregular mass": "si nota una massa irregolare",
    "no mass": "nessuna massa",
    "birads category 1": "categoria birads 1",
    "birads category 4": "categoria birads 4",
    "birads category 1 negative": "categoria birads 1 negativo",
}
BACK = {
    "si nota una massa irregolare": "An irregular mass is seen.",
    "nessuna massa": "mass absent",
    "categoria birads 1": "birads 1",
    "categoria birads 4": "BI-RADS 4",
    "categoria birads 1 negativo": "birads 1. it is negative",
}
POSITIONS = 32
"""Tokens that a model has positions for."""

BY_HEART = 1e-3
"""Mean cross-entropy of a token."""

MOST_STEPS = 1000


def write_pieces(path, sentences):
    """Train a SentencePiece model on sentences; returns its pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(sentences) * 4),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [processor.id_to_piece(number) for number in range(processor.get_piece_size())]


def write_model(folder, lesson, *, learned=True):
    """Write a model that knows its lesson by heart, or one that was never taught it."""
    folder.mkdir()
    pieces = [
        *write_pieces(folder / "source.spm", lesson),
        *write_pieces(folder / "target.spm", lesson.values()),
    ]
    vocabulary = list(dict.fromkeys(["</s>", "<unk>", *pieces, "<pad>"]))
    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(numbers), encoding="utf-8")
    with pytest.warns(UserWarning, match="sacremoses"):
        tokenizer = MarianTokenizer(
            str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json")
        )
    torch.manual_seed(1)
    model = MarianMTModel(
        MarianConfig(
            vocab_size=len(vocabulary),
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            dropout=0.0,
            max_position_embeddings=POSITIONS,
            pad_token_id=numbers["<pad>"],
            eos_token_id=numbers["</s>"],
            forced_eos_token_id=numbers["</s>"],
            decoder_start_token_id=numbers["<pad>"],
            scale_embedding=True,
        )
    )
    if learned:
        learn(model, tokenizer, lesson)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def learn(model, tokenizer, lesson):
    """Teach until every token is all but certain: how many steps that takes, the processor says."""
    batch = tokenizer(
        list(lesson), text_target=list(lesson.values()), padding=True, return_tensors="pt"
    )
    batch["labels"][batch["labels"] == model.config.pad_token_id] = -100
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(MOST_STEPS):
        optimizer.zero_grad()
        loss = model(**batch).loss
        if loss < BY_HEART:
            return
        loss.backward()
        optimizer.step()
    pytest.fail(f"not learned within {MOST_STEPS} steps: loss {float(loss):.4f}")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of a model there and of one back."""
    folder = tmp_path_factory.mktemp("marian")
    return write_model(folder / "en-it", THERE), write_model(folder / "it-en", BACK)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """Folder of a model that has learned nothing: it repeats itself until it is cut off."""
    return write_model(tmp_path_factory.mktemp("untrained") / "it-en", BACK, learned=False)
