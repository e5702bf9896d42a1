"""A run that is killed while it validates judges that epoch when it goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[4]
JUDGING = """
import os, signal, sys
import torch
from training.pretraining.pretraining_run import pretrain
from training.pretraining.pretraining_module import Pretraining
step, kill_at = Pretraining.validation_step, int(sys.argv[1])
def judging(self, batch, batch_index):
    if self.global_step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    step(self, batch, batch_index)
def worse(self):
    value = self.trainer.callback_metrics["validation_loss"]
    value += 10.0 * self.current_epoch  # the first epoch is the best one
Pretraining.validation_step = judging
end = Pretraining.on_validation_epoch_end
def ending(self):
    end(self)
    worse(self)
Pretraining.on_validation_epoch_end = ending
pretrain(sys.argv[2:])
"""
"""Runs the command, and ends it by kill -9 in the validation after some step; -1 for never."""


def run(kill_at, *arguments):
    return subprocess.run(
        [sys.executable, "-c", JUDGING, str(kill_at), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def published(out):
    return {
        path.name: torch.load(path, weights_only=True)["epoch"]
        for path in (out / "published").glob("*.tar")
    }


def validated(out):
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return {item.step: item.value for item in events.Scalars("validation_loss")}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kill_at", [2, 4])
def test_epoch_that_a_kill_left_unjudged_is_judged(arguments_for, tmp_path, kill_at):
    """There are two steps in each of two epochs: a checkpoint falls on the last of each."""
    options = ("--trainer.max_epochs", "2", "--checkpoint_steps", "2")
    whole, killed = (arguments_for(tmp_path / name, *options) for name in ("whole", "killed"))
    undisturbed = run(-1, *whole)
    first = run(kill_at, *killed)
    resumed = run(-1, *killed)

    assert undisturbed.returncode == 0, undisturbed.stderr
    assert first.returncode == -signal.SIGKILL, first.stderr
    assert resumed.returncode == 0, resumed.stderr
    expected = {"model-epoch-0.tar": 0, "model-epoch-1.tar": 1, "model-best.tar": 0}
    assert published(tmp_path / "whole") == expected
    assert published(tmp_path / "killed") == expected
    assert validated(tmp_path / "killed") == pytest.approx(validated(tmp_path / "whole"), abs=1e-6)
