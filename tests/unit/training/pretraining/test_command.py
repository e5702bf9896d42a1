"""The command: it survives a kill, runs on two ranks, and leaves what everybody can read."""

import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from mammoclip_core.commands.predict import app as predict
from mammoclip_core.manifest import read_manifest
from training.commands.train import app
from training.phantoms.writing import Order, write_phantoms
from training.pretraining.data_module import DataSettings, ImageTextSet, PretrainingData
from training.pretraining.network import NetworkSettings, build_network, settled
from training.pretraining.pretraining_module import Pretraining

ROOT = Path(__file__).parents[4]
LIMIT_S = 120
DYING = """
import os, signal, sys
from training.pretraining.pretraining_run import pretrain
from training.pretraining.pretraining_module import Pretraining
step = Pretraining.training_step
def dying(self, batch, batch_index):
    if self.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    step(self, batch, batch_index)
Pretraining.training_step = dying
pretrain(sys.argv[1:])
"""


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def losses(out, name="train_loss"):
    """Return the logged losses by step; of a step done twice, the later one."""
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return {item.step: item.value for item in events.Scalars(name)}


@pytest.fixture(scope="module")
def whole(arguments_for, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    done = run("-m", "training.commands.train", "pretrain",
               *arguments_for(out, "--trainer.max_epochs", "2"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def bundle(whole, tiny_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "tiny"
    checkpoint = whole / "published/model-best.tar"

    result = CliRunner().invoke(
        predict,
        [
            "convert",
            str(checkpoint),
            "--tokenizer",
            str(tiny_data / "tokenizer"),
            "--out",
            str(out),
        ],
    )

    assert result.exit_code == 0, result.output
    return out


@pytest.mark.long
def test_killed_run_goes_on_with_the_same_losses(whole, arguments_for, tmp_path):
    arguments = arguments_for(tmp_path, "--trainer.max_epochs", "2", "--checkpoint_steps", "1")
    killed = run("-c", DYING, *arguments)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    resumed = run("-m", "training.commands.train", "pretrain", *arguments)

    assert resumed.returncode == 0, resumed.stderr
    expected = losses(whole)
    assert len(expected) == 4
    assert losses(tmp_path) == pytest.approx(expected, abs=1e-6)
    assert losses(tmp_path, "validation_loss") == pytest.approx(
        losses(whole, "validation_loss"), abs=1e-6
    )


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_run_with_other_settings_is_not_taken_up(whole, arguments_for, tiny_data, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole / "checkpoints", out / "checkpoints")
    shutil.copytree(tiny_data, tmp_path / "data")
    table = tmp_path / "data/image_text.csv"
    table.write_text(table.read_text().replace("left", "right"), encoding="utf-8")
    set_of = f"[{{table: {table}, images: {tiny_data / 'png'}}}]"
    for option, value, said in (
        ("--data.settings.batch_size", "4", "data.settings.batch_size was 2, is 4"),
        ("--data.settings.augmentation", "none", "augmentation was paper, is none"),
        ("--model.learning_rate", "0.1", "model.learning_rate was 0.0005, is 0.1"),
        ("--model.network.dropout", "0.1", "model.network.dropout was 0.3, is 0.1"),
        ("--data.settings.image_text", set_of, "data.settings.image_text was table"),
    ):
        result = CliRunner().invoke(app, ["pretrain", *arguments_for(out, option, value)])
        assert result.exit_code == 1, option
        assert said in result.output
        assert "--resume none" in result.output


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
@pytest.mark.parametrize("change", ["made again", "left out"])
def test_run_on_other_pictures_is_not_taken_up(whole, arguments_for, tiny_data, tmp_path, change):
    out = tmp_path / "run"
    shutil.copytree(whole / "checkpoints", out / "checkpoints")
    (out / "checkpoints/finished.ckpt").rename(out / "checkpoints/last.ckpt")
    images = shutil.copytree(tiny_data / "png", tmp_path / "png")
    set_of = f"[{{table: {tiny_data / 'image_text.csv'}, images: {images}}}]"
    options = ("--data.settings.image_text", set_of, "--trainer.max_epochs", "2")
    elsewhere = CliRunner().invoke(app, ["pretrain", *arguments_for(out, *options)])
    picture = next(images.rglob("*.png"))
    if change == "made again":
        Image.fromarray(np.asarray(Image.open(picture)) // 2).save(picture)
    else:
        picture.unlink()
        options += ("--data.settings.skip_unreadable", "true")

    result = CliRunner().invoke(app, ["pretrain", *arguments_for(out, *options)])

    assert elsewhere.exit_code == 0, elsewhere.output
    assert result.exit_code == 1
    assert "pictures was 16 of digest" in result.output
    assert "--resume none" in result.output


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_longer_run_is_taken_up_and_says_so(whole, arguments_for, tmp_path):
    shutil.copytree(whole / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints/finished.ckpt").rename(tmp_path / "checkpoints/last.ckpt")

    result = CliRunner().invoke(
        app, ["pretrain", *arguments_for(tmp_path, "--trainer.max_epochs", "3")]
    )

    assert result.exit_code == 0, result.output
    assert "ends after 6 steps in place of 4" in result.output
    assert sorted(losses(tmp_path)) == [4, 5]


@pytest.mark.long
def test_two_ranks_train_together(arguments_for, tmp_path):
    done = run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *("-m", "training.commands.train", "pretrain"),
        *arguments_for(tmp_path, "--trainer.max_epochs", "1", "--trainer.devices", "2"),
        *("--trainer.strategy", "ddp", "--model.chunk_size", "1"),
    )

    assert done.returncode == 0, done.stderr
    assert math.isfinite(losses(tmp_path)[0])
    (rank,) = losses(tmp_path, "retrieval_mean_rank").values()
    assert 1 <= rank <= 4  # among the texts of all ranks
    assert (tmp_path / "published/model-epoch-0.tar").is_file()


def test_published_checkpoint_becomes_a_bundle(bundle):
    manifest = read_manifest(bundle)

    assert manifest.encoders[0].architecture == "tf_efficientnet_b0"
    assert (manifest.preprocessing.rows, manifest.preprocessing.columns) == (76, 64)


def test_pretraining_begins_from_the_bundle_as_it_ended(bundle, whole):
    settings = settled(NetworkSettings(bundle=str(bundle)))

    model, _, _ = build_network(settings)

    assert (settings.architecture, settings.rows, settings.columns) == (
        "tf_efficientnet_b0",
        76,
        64,
    )
    saved = torch.load(whole / "published/model-best.tar", weights_only=True)["model"]
    torch.testing.assert_close(
        model.image_projection.weight, saved["image_projection.projection.weight"]
    )
    torch.testing.assert_close(
        model.image_encoder.backbone.conv_stem.weight, saved["image_encoder._conv_stem.weight"]
    )


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_missing_wandb_is_named_with_its_extra(arguments_for, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)

    result = CliRunner().invoke(app, ["pretrain", *arguments_for(tmp_path, "--wandb", "mine")])

    assert result.exit_code == 1
    assert "pip install '.[wandb]'" in result.output


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_reports_and_labels_are_learned_together(arguments_for, tmp_path):
    write_phantoms(Order(seed=6, studies=6, out=tmp_path / "labels", rows=76, columns=64))
    table, images = (tmp_path / "labels" / name for name in ("finding_annotations.csv", "png"))

    arguments = arguments_for(tmp_path / "out", "--trainer.max_epochs", "1")
    arguments += ["--data.settings.image_label", f"[{{table: {table}, images: {images}}}]"]

    result = CliRunner().invoke(app, ["pretrain", *arguments])

    assert result.exit_code == 0, result.output
    alone = 4 // 2
    assert len(losses(tmp_path / "out")) > alone
    assert all(math.isfinite(value) for value in losses(tmp_path / "out").values())
    for name in ("zero_shot_accuracy_density", "retrieval_recall_at_1"):
        (value,) = losses(tmp_path / "out", name).values()
        assert 0 <= value <= 1


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_loss_that_is_not_finite_ends_the_run_and_the_last_good_checkpoint_stays(
    arguments_for, tmp_path, monkeypatch
):
    loss_of = Pretraining.loss_of

    def lost(self, parts):
        loss = loss_of(self, parts)
        return loss * float("nan") if self.trainer.training and self.global_step == 3 else loss

    monkeypatch.setattr(Pretraining, "loss_of", lost)

    result = CliRunner().invoke(
        app, ["pretrain", *arguments_for(tmp_path, "--checkpoint_steps", "1")]
    )

    assert result.exit_code == 1
    assert "the loss is nan at step 4 (epoch 2)" in result.output
    kept = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=False)
    assert kept["global_step"] == 3
    assert not (tmp_path / "checkpoints/finished.ckpt").exists()
    assert not (tmp_path / "published/model-epoch-1.tar").exists()


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_weights_that_are_not_finite_are_in_no_checkpoint(arguments_for, tmp_path, monkeypatch):
    def spoil(self, optimizer):
        if self.global_step == 2:
            self.model.logit_scale.data.fill_(float("nan"))

    monkeypatch.setattr(Pretraining, "on_before_optimizer_step", spoil)

    result = CliRunner().invoke(
        app, ["pretrain", *arguments_for(tmp_path, "--checkpoint_steps", "1")]
    )

    assert result.exit_code == 1
    assert "model.logit_scale" in result.output
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=False)["global_step"] == 2


@pytest.mark.filterwarnings("ignore::Warning")  # Lightning's, and the scheduler's of a noted step
def test_gradients_are_clipped_after_they_were_unscaled(tiny_data, tmp_path):
    """With a scaler of half precision the norm that is limited is the true one."""
    network = NetworkSettings(
        architecture="tf_efficientnet_b0", image_weights="random", projection_size=32, rows=76,
        columns=64, tokenizer=str(tiny_data / "tokenizer"),
        text_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                     "intermediate_size": 64, "max_position_embeddings": 256},
    )  # fmt: skip
    settings = DataSettings(
        image_text=[
            ImageTextSet(table=str(tiny_data / "image_text.csv"), images=str(tiny_data / "png"))
        ],
        batch_size=2,
    )

    def trained(clip, scale):
        torch.manual_seed(1)
        module = Pretraining(network, gradient_clip=clip)
        norms = []
        step = torch.optim.AdamW.step

        def noted(self, *arguments, **further):
            gradients = [p.grad for group in self.param_groups for p in group["params"]]
            present = [value for value in gradients if value is not None]
            norms.append(float(torch.stack([value.norm() for value in present]).norm()))
            return step(self, *arguments, **further)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", noted)
            lightning.Trainer(
                accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
                limit_val_batches=0, use_distributed_sampler=False,
                plugins=[
                    MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))
                ],
            ).fit(module, PretrainingData(settings))  # fmt: skip
        return norms[-1]

    assert trained(0.0, 4.0) > 0.2
    assert trained(0.1, 4.0) == pytest.approx(0.1, rel=0.01)
