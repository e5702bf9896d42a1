"""A tiny pretraining: eight phantom breasts, a vocabulary, and the arguments of the command."""

import lightning  # noqa: F401  its log writes for good to what is stderr at its first import
import pytest

from training.examples.demonstration.vocabulary import write_trained_tokenizer
from training.phantoms.writing import Order, write_phantoms


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """Folder with pictures, ``image_text.csv`` (folds 0 and 1, four breasts each) and tokenizer."""
    folder = tmp_path_factory.mktemp("pretraining")
    write_phantoms(Order(seed=2, first=3, studies=4, out=folder, rows=76, columns=64))
    write_trained_tokenizer(folder / "tokenizer", attention_heads=2, hidden_size=32)
    return folder


@pytest.fixture(scope="session")
def arguments_for(tiny_data):
    """Return a function from an output folder to the arguments of ``pretrain``."""

    def arguments(out, *further):
        table, images = tiny_data / "image_text.csv", tiny_data / "png"
        return [
            *("--config", "tiny"),
            *("--out", str(out)),
            *("--model.network.rows", "76", "--model.network.columns", "64"),
            *("--model.network.tokenizer", str(tiny_data / "tokenizer")),
            *("--data.settings.image_text", f"[{{table: {table}, images: {images}}}]"),
            *("--data.settings.batch_size", "2"),
            *("--trainer.enable_progress_bar", "false"),
            *("--trainer.enable_model_summary", "false"),
            *further,
        ]

    return arguments
