"""Two processes that train together end with the weights of one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_sets import picture
from small_bundles import SIZE, small_random_bundle
from torch import Tensor, distributed, multiprocessing, nn

from mammoclip_core.networks.detector import Detector
from training.bundles.bundle_encoder import read_image_encoder
from training.data.image_source import image_source
from training.detection.examples import Example, Examples
from training.detection.fitting import DetectionSettings, fit_detector, initialise
from training.detection.recipes import detection_recipe
from training.downstream import features
from training.downstream.features import image_features
from training.downstream.fitting import fit
from training.downstream.recipes import Recipe
from training.errors import SettingsError
from training.factor.feature_maps import cache_feature_maps
from training.learning.presets import Preset
from training.learning.ranks import ALONE, Ranks, joined
from training.learning.run_state import RunState

RANKS = 2


def head(ranks: Ranks, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """Train a layer behind a BatchNorm; batches of 5 are shared unevenly."""
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten())
    network.append(nn.Linear(6 * 36, 1))
    images = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    labels = (images.mean((1, 2, 3)) > 0).long()

    def batches(epoch: int) -> Any:
        order = torch.randperm(20, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(5):
            own = list(ranks.share(rows.tolist()))
            yield images[own], labels[own]

    run = RunState(folder / "head.ckpt", {}, is_writer=ranks.is_first)
    fitted = fit(network, network, batches, Recipe(epochs=2, batch_size=5), batches_an_epoch=4,
                 positive_weight=2.0, judge=lambda _: 0.0, run=run, ranks=ranks)  # fmt: skip
    return fitted.losses, network.state_dict()


def detection(ranks: Ranks, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    def examples(count: int) -> list[Example]:
        found = []
        for number in range(count):
            image = np.random.default_rng(number).integers(0, 90, (64, 64)).astype(np.uint8)
            image[10:40, 20 - number : 50 - number] += 150
            box = np.array([[20 - number, 10, 50 - number, 40]], np.float32)
            found.append(Example(patient_id=str(number), square=image, boxes=box))
        return found

    torch.manual_seed(0)
    detector = Detector("tf_efficientnet_b0", 1)
    initialise(detector)
    recipe = detection_recipe(Preset.README, epochs=1, batch_size=4, learning_rate=3e-4)
    data = Examples(training=examples(5), held_out=examples(3), test=examples(1))
    settings = DetectionSettings(recipe=recipe, is_frozen=True, ranks=ranks)
    fitted = fit_detector(detector, data, settings)
    return (*fitted.losses, fitted.honest.average_precision), fitted.honest.state


def encoding(ranks: Ranks, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """Encode five pictures, of which the ranks have three and two."""
    shared = folder.parent if ranks.count == 1 else folder
    files = sorted((shared / "pictures").glob("*.png"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_PART", 1)
        known = image_features(shared / "bundle", files, folder / "features", ranks=ranks)
    encoder, manifest = read_image_encoder(shared / "bundle")
    source = image_source(shared / "pictures", SIZE)
    maps = cache_feature_maps(
        folder / "maps", encoder, [file.name for file in files], source, manifest.preprocessing,
        weights_sha256="1", images_sha256="2", batch_size=2, with_flips=True, ranks=ranks,
    )  # fmt: skip
    found = {"features": known.features, "embeddings": known.embeddings, "maps": maps.copy()}
    return (), {name: torch.from_numpy(value).float() for name, value in found.items()}


def head_and_encoding(ranks: Ranks, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """Let one pair of processes do both: their start takes longer than their work."""
    figures, weights = head(ranks, folder)
    return figures, weights | encoding(ranks, folder)[1]


def train_on_rank(rank: int, folder: Path, training: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS
    )
    result = training(Ranks(own=rank, count=RANKS), folder)
    torch.save(result, folder / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    "training", [head_and_encoding, pytest.param(detection, marks=pytest.mark.long)]
)
def test_two_ranks_end_with_the_weights_of_one(training: Any, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    small_random_bundle(tmp_path / "bundle")
    for number in range(5):
        picture(tmp_path / "pictures" / f"{number}.png", number)
    multiprocessing.spawn(train_on_rank, args=(tmp_path, training), nprocs=RANKS)
    figures, expected = training(ALONE, tmp_path / "alone")

    for rank in range(RANKS):
        own_figures, weights = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert own_figures == pytest.approx(figures, rel=1e-4, nan_ok=True)
        assert weights.keys() == expected.keys()
        for name, value in expected.items():
            error = 1e-2 if name == "maps" else 1e-4  # maps are kept in half precision
            torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=error)


def test_work_is_shared_and_comes_back_in_order() -> None:
    shares = [Ranks(own=own, count=3).share(list(range(8))) for own in range(3)]

    assert sorted(place for share in shares for place in share) == list(range(8))
    assert ALONE.gathered(ALONE.share("abc")) == ["a", "b", "c"]


def test_batch_that_is_too_small_for_all_processes_is_refused() -> None:
    with pytest.raises(SettingsError, match="4 processes cannot share batches of 3 images"):
        Ranks(own=1, count=4).require_batches_of(3)


def test_process_that_nobody_joins_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    assert joined("cuda:1") == Ranks(own=0, count=1, device="cuda:1")
