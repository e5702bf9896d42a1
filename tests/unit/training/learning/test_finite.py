"""Nothing that is not finite is written, whatever is trained."""

import numpy as np
import pytest
import torch

from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.errors import BundleError
from mammoclip_core.manifest import read_manifest
from training.bundles.bundle_copy import copy_bundle
from training.downstream.fitting import fit
from training.downstream.recipes import Recipe
from training.errors import DivergedError
from training.factor.export import write_factor
from training.factor.fitting import FactorSettings, fit_factor
from training.learning.finite import finite_loss, require_finite

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_loss_that_is_not_finite_is_named_with_its_step(value):
    with pytest.raises(DivergedError, match=r"step 8 \(epoch 2\)"):
        finite_loss(torch.tensor(value), 7, 1)


def test_weights_that_are_not_finite_are_named():
    weights = {"good": torch.ones(2), "bad": torch.tensor([1.0, INFINITE]), "n": torch.tensor(1)}

    with pytest.raises(DivergedError, match=r"head\.pth.*values of bad are not finite"):
        require_finite(weights, "head.pth")


def test_head_whose_loss_is_not_finite_ends_with_its_step():
    network = torch.nn.Linear(3, 1)

    def batches(_):
        yield torch.ones(2, 3), torch.tensor([0, 1])
        yield torch.full((2, 3), NAN), torch.tensor([0, 1])

    with pytest.raises(DivergedError, match="step 2"):
        fit(network, network, batches, Recipe(epochs=2, batch_size=2), batches_an_epoch=2,
            positive_weight=1.0, judge=lambda _: 0.5)  # fmt: skip


def test_factor_of_maps_that_are_not_finite_ends_with_its_step():
    maps = np.random.default_rng(0).random((8, 1, 4, 3, 3), dtype=np.float32)
    maps[:4] = NAN
    labels = np.tile([[0], [1]], (4, 1))
    settings = FactorSettings(with_clean=True, quiet_start=False)

    with pytest.raises(DivergedError, match="step 1"):
        fit_factor(maps, labels, {"mass": torch.ones(5)}, np.arange(8) >= 4, settings)


def test_weights_of_mammo_factor_that_are_not_finite_leave_the_former_file(tmp_path):
    path = tmp_path / "factor.safetensors"
    write_factor({"one": torch.ones(2)}, path)
    before = path.read_bytes()

    with pytest.raises(DivergedError):
        write_factor({"one": torch.full((2,), NAN)}, path)

    assert path.read_bytes() == before


def test_no_bundle_of_weights_that_are_not_finite_is_written(tmp_path):
    bundle = demonstration_bundle()
    further = {"further": torch.tensor([NAN])}

    with pytest.raises(BundleError, match="values of further are not finite"):
        copy_bundle(bundle, tmp_path / "out", read_manifest(bundle), further)

    assert not (tmp_path / "out/bundle.json").exists()
