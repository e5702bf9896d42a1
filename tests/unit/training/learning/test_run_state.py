"""A training that was killed goes on from its last whole epoch, to the same weights."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_bundles import SIZE, small_random_bundle

from mammoclip_core.networks.detector import Detector
from training.detection.examples import Example, Examples
from training.detection.fitting import DetectionSettings, fit_detector, initialise
from training.detection.recipes import detection_recipe
from training.downstream.fitting import fit
from training.downstream.recipes import Recipe
from training.factor.fitting import FactorSettings, fit_factor
from training.learning.presets import Preset
from training.learning.run_state import RunState

ROOT = Path(__file__).parents[4]
FACTS = {"bundle": "1", "recipe": "2"}
DYING = """
import os, signal, sys
from training.learning.run_state import RunState
keep = RunState.keep
def dying(self, *arguments):
    keep(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)
RunState.keep = dying
from training.commands.train import main
main()
"""


class KilledError(Exception):
    """Stands for a kill between two epochs."""


class Dying(RunState):
    """A run that ends right after its second epoch was kept."""

    def keep(self, network, optimizer, loop, generator=None):
        super().keep(network, optimizer, loop, generator)
        if loop["epoch"] == 1:
            raise KilledError


def head(run):
    torch.manual_seed(4)
    network = torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
    )
    inputs = torch.randn(40, 5, generator=torch.Generator().manual_seed(2))
    labels = (inputs[:, 0] > 0).long()
    values = iter([0.5, 0.7, 0.6, 0.65])

    def batches(epoch):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(10):
            yield inputs[rows], labels[rows]

    fitted = fit(network, network, batches, Recipe(epochs=4, batch_size=10), batches_an_epoch=4,
                 positive_weight=1.0, judge=lambda _: next(values), run=run)  # fmt: skip
    return fitted.losses, network.state_dict()


def factor(run):
    maps = np.random.default_rng(1).random((16, 4, 6, 3, 3)).astype(np.float16)
    labels = np.tile([[1], [0]], (8, 1))
    settings = FactorSettings(epochs=4, patience=9, with_clean=True, batch_size=4)
    attributes = {"mass": torch.randn(8, generator=torch.Generator().manual_seed(1))}
    fitted = fit_factor(maps, labels, attributes, np.arange(16) % 4 == 0, settings, run=run)
    return (*fitted.losses, *fitted.validation_losses), fitted.tensors()


def detection(run):
    def examples(count):
        image = np.random.default_rng(count).integers(0, 90, (64, 64)).astype(np.uint8)
        image[10:40, 20:50] += 150
        box = np.array([[20, 10, 50, 40]], np.float32)
        return [Example(patient_id=str(n), square=image, boxes=box) for n in range(count)]

    torch.manual_seed(0)
    detector = Detector("tf_efficientnet_b0", 1)
    initialise(detector)
    recipe = detection_recipe(Preset.README, epochs=3, batch_size=2, learning_rate=3e-4)
    data = Examples(training=examples(4), held_out=examples(1), test=examples(1))
    fitted = fit_detector(detector, data, DetectionSettings(recipe=recipe), run=run)
    return fitted.losses, fitted.honest.state | fitted.published.state


@pytest.mark.parametrize("train", [head, factor, detection])
def test_killed_training_goes_on_to_the_same_weights(train, tmp_path):
    path, said = tmp_path / "run.ckpt", []
    expected_losses, expected = train(RunState(None, {}))
    with pytest.raises(KilledError):
        train(Dying(path, FACTS))

    losses, weights = train(RunState(path, FACTS, said.append))

    assert losses == pytest.approx(expected_losses, abs=0)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert said == [f"taken up after epoch 2, from {path}"]


@pytest.mark.parametrize("train", [head, factor, detection])
def test_finished_training_is_answered_without_another_step(train, tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    expected_losses, expected = train(RunState(path, FACTS))

    def never(*arguments, **further):
        raise AssertionError("a step was made")

    monkeypatch.setattr(torch.optim.AdamW, "step", never)
    monkeypatch.setattr(torch.optim.Adam, "step", never)
    losses, weights = train(RunState(path, FACTS))

    assert losses == pytest.approx(expected_losses, abs=0)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_run_with_other_settings_begins_anew_and_says_so(tmp_path):
    path, said = tmp_path / "run.ckpt", []
    with pytest.raises(KilledError):
        head(Dying(path, FACTS))

    losses, _ = head(RunState(path, {**FACTS, "recipe": "3"}, said.append))

    assert len(losses) == 4
    assert "other settings (recipe): training begins anew" in said[0]


def test_full_disk_leaves_the_former_state_and_names_the_file(tmp_path):
    run, network = RunState(tmp_path / "run.ckpt", FACTS), torch.nn.Linear(100, 100)
    optimizer = torch.optim.Adam(network.parameters())
    run.keep(network, optimizer, {"epoch": 0})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as refused:
            run.keep(network, optimizer, {"epoch": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert refused.value.filename == str(tmp_path / "run.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["run.ckpt"]
    assert run.take_up(network, optimizer)["epoch"] == 0


def test_forgotten_run_leaves_no_file(tmp_path):
    run = RunState(tmp_path / "run.ckpt", FACTS)
    head(run)

    run.forget()

    assert list(tmp_path.iterdir()) == []


def pictures(folder):
    """Write 20 pictures of 10 patients, a bright disc on every second one; return their table."""
    folder.mkdir()
    generator = np.random.default_rng(7)
    lines = ["file,patient_id,split,mass"]
    for number in range(20):
        picture = generator.integers(60, 120, SIZE).astype(np.uint8)
        if number % 2:
            cv2.circle(picture, (20, 40), 9, 250, -1)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        part = "test" if number >= 16 else "training"
        lines.append(f"{number}.png,P{number // 2},{part},{number % 2}")
    table = folder / "own.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    return table


@pytest.mark.long
def test_fine_tune_that_was_killed_ends_as_one_that_was_not(tmp_path):
    small_bundle = small_random_bundle(tmp_path / "bundle")
    own_table = pictures(tmp_path / "pictures")
    arguments = [
        "finetune", "--bundle", str(small_bundle), "--task", "mass", "--table", str(own_table),
        "--images", str(own_table.parent), "--epochs", "2",
    ]  # fmt: skip

    def run(out, *program):
        return subprocess.run(
            [sys.executable, *program, *arguments, "--out", str(tmp_path / out)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    killed = run("killed", "-c", DYING)
    resumed = run("killed", "-m", "training.commands.train")
    whole = run("whole", "-m", "training.commands.train")

    assert killed.returncode == -signal.SIGKILL
    assert (resumed.returncode, whole.returncode) == (0, 0), resumed.stderr + whole.stderr
    assert "taken up after epoch 1" in resumed.stderr
    first, second = (
        torch.load(tmp_path / out / "head.pth", weights_only=True)["model"]
        for out in ("killed", "whole")
    )
    assert all(torch.equal(first[name], value) for name, value in second.items())
    assert not list((tmp_path / "killed").glob("*.ckpt"))
