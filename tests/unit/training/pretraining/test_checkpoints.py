"""What pretraining leaves says how it was made, and so does the bundle that it becomes."""

import pytest
import torch
from typer.testing import CliRunner

from mammoclip_core.manifest import read_manifest
from mammoclip_core.published.convert import convert
from training.commands.train import app


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_bundle_states_an_option_that_the_paper_does_not_have(arguments_for, tiny_data, tmp_path):
    arguments = arguments_for(tmp_path, "--trainer.max_epochs", "1", "--model.pair_loss", "sigmoid")

    result = CliRunner().invoke(app, ["pretrain", *arguments])

    assert result.exit_code == 0, result.output
    state = torch.load(tmp_path / "checkpoints/finished.ckpt", weights_only=False)["state_dict"]
    assert state["pair_bias"] != -10.0  # it has learnt
    convert(
        tmp_path / "published/model-best.tar", str(tiny_data / "tokenizer"), tmp_path / "bundle"
    )
    assert read_manifest(tmp_path / "bundle").beyond_the_paper == {"pair_loss": "sigmoid"}
