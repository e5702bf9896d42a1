from pathlib import Path

import pytest
import torch
from drawn_weights import text_config, write_tokenizer

from mammoclip_core.errors import BundleError
from mammoclip_core.networks.text_encoder import TextEncoder, Tokenizer, pool_tokens

HIDDEN = torch.arange(24, dtype=torch.float32).reshape(2, 4, 3)
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "tokenizer", ["no mass", "suspicious calcification"])
    return tmp_path / "tokenizer"


def test_end_pooling_takes_the_last_attended_token() -> None:
    assert pool_tokens(HIDDEN, MASK, "eos").tolist() == [[6, 7, 8], [21, 22, 23]]


def test_begin_pooling_takes_the_first_token() -> None:
    assert pool_tokens(HIDDEN, MASK, "bos").tolist() == [[0, 1, 2], [12, 13, 14]]


def test_mean_pooling_leaves_padding_out() -> None:
    assert pool_tokens(HIDDEN, MASK, "mean").tolist() == [[3, 4, 5], [16.5, 17.5, 18.5]]


def test_unknown_pooling_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match="max"):
        TextEncoder(text_config(64), "max")


def test_lower_casing_is_what_was_asked_for(folder: Path) -> None:
    lowering = Tokenizer(folder, do_lower_case=True)
    keeping = Tokenizer(folder, do_lower_case=False)

    assert lowering(["Mass"])["input_ids"].equal(lowering(["mass"])["input_ids"])
    assert not keeping(["Mass"])["input_ids"].equal(keeping(["mass"])["input_ids"])


def test_texts_are_padded_on_the_right(folder: Path) -> None:
    tokens = Tokenizer(folder, do_lower_case=True)(["mass", "no mass"])

    assert tokens["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_long_text_is_truncated(folder: Path) -> None:
    tokenizer = Tokenizer(folder, do_lower_case=True, max_tokens=8)

    assert tokenizer(["mass " * 50])["input_ids"].shape == (1, 8)


def test_text_does_not_depend_on_its_neighbours_in_the_batch(folder: Path) -> None:
    size = len((folder / "vocab.txt").read_text().splitlines())
    encoder = TextEncoder(text_config(size)).eval()
    tokenizer = Tokenizer(folder, do_lower_case=True)

    with torch.inference_mode():
        alone = encoder(tokenizer(["mass"]))
        together = encoder(tokenizer(["mass", "no suspicious calcification"]))

    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)


def test_folder_without_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"vocab\.txt"):
        Tokenizer(tmp_path, do_lower_case=True)
