"""A gradient or a weight that is not finite ends a training; what is kept is the epoch before."""

import numpy as np
import pytest
import torch

from mammoclip_core.networks.detector import Detector
from training.detection.examples import Example, Examples
from training.detection.fitting import DetectionSettings, fit_detector, initialise
from training.detection.recipes import detection_recipe
from training.downstream.fitting import fit
from training.downstream.recipes import Recipe
from training.errors import DivergedError
from training.factor.fitting import FactorSettings, fit_factor
from training.learning.finite import require_finite_gradient
from training.learning.presets import Preset
from training.learning.run_state import RunState

INFINITE = float("inf")


def head(run):
    torch.manual_seed(4)
    network = torch.nn.Linear(5, 1)
    inputs = torch.randn(4, 5)
    labels = torch.tensor([0, 1, 0, 1])

    def batches(_):
        yield from zip(inputs.split(2), labels.split(2), strict=True)

    fit(network, network, batches, Recipe(epochs=3, batch_size=2), batches_an_epoch=2,
        positive_weight=1.0, judge=lambda _: 0.5, run=run)  # fmt: skip


def factor(run):
    maps = np.random.default_rng(1).random((8, 1, 4, 3, 3)).astype(np.float16)
    labels = np.tile([[1], [0]], (4, 1))
    settings = FactorSettings(epochs=3, patience=9, with_clean=True, batch_size=2)
    fit_factor(maps, labels, {"mass": torch.ones(8)}, np.arange(8) >= 4, settings, run=run)


def detection(run):
    box = np.array([[20, 10, 50, 40]], np.float32)
    shown = [
        Example(patient_id=str(n), square=np.full((64, 64), 40 * n, np.uint8), boxes=box)
        for n in range(5)
    ]
    detector = Detector("tf_efficientnet_b0", 1)
    initialise(detector)
    recipe = detection_recipe(Preset.README, epochs=3, batch_size=2, learning_rate=3e-4)
    data = Examples(training=shown[:4], held_out=shown[4:], test=shown[4:])
    fit_detector(detector, data, DetectionSettings(recipe=recipe, is_frozen=True), run=run)


def overflowing(monkeypatch, step):
    """Make a gradient infinite before a step, counted from 1, though the loss is finite."""
    backward, steps = torch.Tensor.backward, iter(range(1, 100))
    learning = []
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        monkeypatch.setattr(kind, "__init__", noting(kind.__init__, learning))

    def overflown(self, *arguments, **further):
        backward(self, *arguments, **further)
        if next(steps) == step:
            next(value for value in learning if value.grad is not None).grad.fill_(INFINITE)

    monkeypatch.setattr(torch.Tensor, "backward", overflown)


def noting(begin, learning):
    def begun(self, parameters, *arguments, **further):
        learning.extend(parameters := list(parameters))
        begin(self, parameters, *arguments, **further)

    return begun


@pytest.mark.parametrize("train", [head, factor, detection])
def test_infinite_gradient_is_named_with_its_step_and_the_epoch_before_is_kept(
    train, tmp_path, monkeypatch
):
    path = tmp_path / "run.ckpt"
    overflowing(monkeypatch, 4)

    with pytest.raises(DivergedError, match=r"gradient's norm is inf at step 4 \(epoch 2\)"):
        train(RunState(path, {}))

    kept = torch.load(path, weights_only=True)
    assert kept["loop"]["epoch"] == 0
    assert all(value.isfinite().all() for value in kept["network"].values())


def test_gradient_that_is_finite_is_left_as_it_is():
    value = torch.nn.Parameter(torch.ones(2))
    value.grad = torch.tensor([3.0, 4.0])

    require_finite_gradient([value, torch.nn.Parameter(torch.ones(1))], 0, 0)

    assert value.grad.tolist() == [3, 4]


@pytest.mark.parametrize("is_writer", [True, False])
def test_weights_that_are_not_finite_leave_the_former_state(tmp_path, is_writer):
    network = torch.nn.BatchNorm1d(3)
    optimizer = torch.optim.Adam(network.parameters())
    RunState(tmp_path / "run.ckpt", {}).keep(network, optimizer, {"epoch": 0})
    before = (tmp_path / "run.ckpt").read_bytes()
    network.running_var[1] = INFINITE

    with pytest.raises(DivergedError, match=r"state after epoch 2 .*running_var"):
        RunState(tmp_path / "run.ckpt", {}, is_writer=is_writer).keep(
            network, optimizer, {"epoch": 1}
        )

    assert (tmp_path / "run.ckpt").read_bytes() == before
