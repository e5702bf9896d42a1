"""A pretraining goes on with the words it began with, and says which free options have changed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_bundles import small_random_bundle
from typer.testing import CliRunner

from mammoclip_core.manifest import TOKENIZER_FOLDER
from training.commands.train import app
from training.errors import SettingsError
from training.pretraining.network import NetworkSettings
from training.pretraining.resumed_settings import require_same, tokenizer_facts

pytestmark = pytest.mark.filterwarnings(  # not ours
    "ignore::Warning:lightning", "ignore::Warning:torch"
)


@pytest.fixture(scope="module")
def one_epoch(arguments_for, tmp_path_factory):
    """Folder of checkpoints of a run of one epoch."""
    out = tmp_path_factory.mktemp("one")
    result = CliRunner().invoke(app, ["pretrain", *arguments_for(out, "--trainer.max_epochs", "1")])
    assert result.exit_code == 0, result.output
    (out / "checkpoints/finished.ckpt").rename(out / "checkpoints/last.ckpt")
    return out / "checkpoints"


@pytest.fixture
def resumed(one_epoch, arguments_for, tmp_path):
    """Return a function that goes on from a copy of the checkpoint, for a second epoch."""

    def resume(*further, forget=()):
        checkpoints = shutil.copytree(one_epoch, tmp_path / "checkpoints", dirs_exist_ok=True)
        content = torch.load(checkpoints / "last.ckpt", weights_only=False)
        for name in forget:
            del content["facts"][name]
        torch.save(content, checkpoints / "last.ckpt")
        arguments = arguments_for(tmp_path, "--trainer.max_epochs", "2", *further)
        return CliRunner().invoke(app, ["pretrain", *arguments])

    return resume


def changed(folder: Path, change) -> Path:
    """Change the list of words of a tokenizer's folder."""
    path = folder / "vocab.txt"
    words = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(change(words)) + "\n", encoding="utf-8")
    return folder


def exchanged(words):
    return [*words[:-2], words[-1], words[-2]]


def longer(words):
    return [*words, "furthermore"]


@pytest.mark.parametrize("change", [exchanged, longer])
def test_run_with_other_words_is_not_taken_up(resumed, tiny_data, tmp_path, change):
    other = changed(Path(shutil.copytree(tiny_data / "tokenizer", tmp_path / "other")), change)

    result = resumed("--model.network.tokenizer", str(other))

    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("mammoclip-train:")]
    assert "model.network.tokenizer was vocab.txt of digest" in line
    assert "--resume none" in line


def test_tokenizer_that_was_moved_is_taken_up(resumed, tiny_data, tmp_path):
    moved = shutil.copytree(tiny_data / "tokenizer", tmp_path / "moved")

    result = resumed("--model.network.tokenizer", str(moved))

    assert result.exit_code == 0, result.output
    assert "goes on with other options" not in result.output


def test_checkpoint_that_does_not_know_its_words_is_taken_up(resumed, tiny_data, tmp_path):
    folder = Path(shutil.copytree(tiny_data / "tokenizer", tmp_path / "other"))
    options = ("--model.network.tokenizer", str(folder))

    same = resumed(*options, forget=["model.network.tokenizer"])
    changed(folder, longer)
    of_another_size = resumed(*options, forget=["model.network.tokenizer"])

    assert same.exit_code == 0, same.output
    assert of_another_size.exit_code == 1
    (line,) = [
        line for line in of_another_size.output.splitlines() if line.startswith("mammoclip-train:")
    ]
    assert "another network or tokenizer: of another shape: " in line
    assert "word_embeddings" in line


def test_changed_precision_seed_and_batch_norm_are_named(resumed):
    result = resumed(
        *("--trainer.precision", "bf16-mixed", "--seed_everything", "11"),
        *("--trainer.sync_batchnorm", "true"),
    )

    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if "other options" in line]
    assert "--trainer.precision was 32-true, is bf16-mixed" in line
    assert "--seed_everything was 10, is 11" in line
    assert "--trainer.sync_batchnorm was False, is True" in line


def test_words_of_a_bundle_are_known_wherever_it_lies(tmp_path):
    first = small_random_bundle(tmp_path / "first")
    second = shutil.copytree(first, tmp_path / "second")
    begun = NetworkSettings(bundle=str(first))
    facts = tokenizer_facts(begun)

    require_same(facts, tokenizer_facts(replace(begun, bundle=str(second))))
    changed(second / TOKENIZER_FOLDER, exchanged)

    with pytest.raises(SettingsError, match=r"model\.network\.tokenizer was vocab\.txt of digest"):
        require_same(facts, tokenizer_facts(replace(begun, bundle=str(second))))
