"""What pretraining leaves says how it was made, and so does the bundle that it becomes."""

import resource

import pytest
from typer.testing import CliRunner

from mammoclip_core.manifest import read_manifest
from mammoclip_core.published.convert import convert
from training.commands.train import app


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_full_disk_ends_the_run_in_one_line_and_leaves_the_checkpoint(arguments_for, tmp_path):
    def pretrained(largest, *further):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
        try:
            return CliRunner().invoke(app, ["pretrain", *arguments_for(tmp_path, *further)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert pretrained(-1, "--trainer.max_epochs", "1").exit_code == 0
    last = tmp_path / "checkpoints" / "last.ckpt"
    former = last.read_bytes()

    for option, place in (("0", "published/model-epoch-1.tar"), ("1", "checkpoints/newest.ckpt")):
        result = pretrained(100_000, "--trainer.max_epochs", "2", "--checkpoint_steps", option)

        assert result.exit_code == 1
        assert f"mammoclip-train: {tmp_path / place}: File too large\n" in result.output
        assert last.read_bytes() == former
        assert not list(tmp_path.rglob("*.part"))


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_bundle_states_an_option_that_the_paper_does_not_have(arguments_for, tiny_data, tmp_path):
    arguments = arguments_for(tmp_path, "--trainer.max_epochs", "1", "--model.label_weight", "0.5")

    result = CliRunner().invoke(app, ["pretrain", *arguments])

    assert result.exit_code == 0, result.output
    convert(
        tmp_path / "published/model-best.tar", str(tiny_data / "tokenizer"), tmp_path / "bundle"
    )
    assert read_manifest(tmp_path / "bundle").beyond_the_paper == {"label_weight": "0.5"}
