"""Dense supervision learns, goes on after a kill, and begins from EfficientNet-Lite0."""

import multiprocessing

import numpy as np
import pytest
import torch

from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.manifest import read_manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.published.models import published_keys
from training.data.image_source import image_source
from training.errors import SettingsError
from training.examples.demonstration.block_maps import write_block_maps
from training.examples.demonstration.cell_targets import ABSENT, PRESENT, UNDECIDED
from training.examples.demonstration.dense_samples import DenseSampleSettings
from training.examples.demonstration.dense_training import (
    DenseSupervision,
    cell_loss,
    train_on_cells,
)
from training.examples.demonstration.first_weights import (
    ARCHITECTURE,
    first_encoder,
    first_weights_in_words,
    load_lite_weights,
)
from training.examples.demonstration.look import Look
from training.examples.demonstration.phantom_images import prepare_phantoms

# Lightning's own: nothing here may warn.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SIZE = (96, 64)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    prepare_phantoms(9, 1, SIZE, folder)
    return folder


def fresh():
    torch.manual_seed(3)
    return DenseSupervision(ImageEncoder(ARCHITECTURE), warmup_steps=1)


def trained(images, out, steps, **how):
    module = fresh()
    settings = DenseSampleSettings(
        images=str(images), rows=SIZE[0], columns=SIZE[1], look=Look(share=1.0)
    )
    train_on_cells(module, settings, out, steps=steps, batch_size=2, **how)
    return module


def test_lesson_once_finished_is_not_taught_again(images, tmp_path):
    first = trained(images, tmp_path, 2)

    again = trained(images, tmp_path, 2)

    for name, value in first.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    assert not torch.equal(first.cells.weight, fresh().cells.weight)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_lesson_killed_on_the_way_ends_as_one_that_was_not(images, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = trained(images, whole, 6, checkpoint_steps=1)
    process = multiprocessing.get_context("spawn").Process(
        target=trained, args=(images, killed, 6), kwargs={"checkpoint_steps": 1}
    )
    process.start()
    last = killed / "checkpoints" / "last.ckpt"
    while not last.is_file() and process.is_alive():
        process.join(0.05)
    process.kill()
    process.join()
    assert last.is_file()

    module = trained(images, killed, 6, checkpoint_steps=1)

    for name, value in expected.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, rtol=0, atol=0)


def test_trained_encoder_goes_on_with_its_statistics_and_its_first_stage(images, tmp_path):
    encoder = ImageEncoder(ARCHITECTURE)
    before = {name: value.clone() for name, value in encoder.backbone.state_dict().items()}
    settings = DenseSampleSettings(images=str(images), rows=SIZE[0], columns=SIZE[1])

    module = DenseSupervision(encoder, warmup_steps=1, goes_on=True)
    train_on_cells(module, settings, tmp_path, steps=1, batch_size=2)

    after = encoder.backbone.state_dict()
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert {"blocks.1.0.conv_pw.weight", "blocks.6.0.bn3.weight", "conv_head.weight"} <= changed
    assert not [name for name in changed if "running" in name]
    assert not [name for name in changed if name.startswith(("conv_stem", "bn1", "blocks.0"))]


def test_encoder_of_a_bundle_is_one_to_begin_with():
    folder = demonstration_bundle()

    encoder = first_encoder(str(folder))

    assert not encoder.training
    name, words = first_weights_in_words(str(folder))
    assert name == "BUNDLE"
    assert read_manifest(folder).weights_sha256 in words


def test_undecided_cells_count_nothing():
    truth = torch.tensor([[[[ABSENT, PRESENT, UNDECIDED]]]])
    logits = torch.tensor([[[[0.3, -0.2, 5.0]]]])

    other = cell_loss(torch.tensor([[[[0.3, -0.2, -9.0]]]]), truth)

    assert cell_loss(logits, truth) == other
    assert cell_loss(torch.tensor([[[[-9.0, 9.0, 0.0]]]]), truth) < 0.01 * other


def lite_file(path, encoder):
    names = published_keys(
        [name for name in encoder.backbone.state_dict() if ".se." not in name], ARCHITECTURE
    )
    state = {new: encoder.backbone.state_dict()[name] for name, new in names.items()}
    torch.save({**state, "_fc.weight": torch.zeros(1)}, path)
    return path


def test_lite_weights_fill_convolutions_and_open_the_gates(tmp_path):
    source, encoder = fresh().encoder, ImageEncoder(ARCHITECTURE)

    load_lite_weights(encoder, lite_file(tmp_path / "lite.pth", source))

    own, given = encoder.backbone.state_dict(), source.backbone.state_dict()
    torch.testing.assert_close(own["blocks.3.1.conv_dw.weight"], given["blocks.3.1.conv_dw.weight"])
    torch.testing.assert_close(own["bn2.running_var"], given["bn2.running_var"])
    excite = encoder.backbone.blocks[1][0].se
    gates = torch.sigmoid(excite.conv_expand(torch.randn(1, excite.conv_expand.in_channels, 1, 1)))
    assert float(gates.min()) > 0.95


def test_file_of_another_network_is_refused(tmp_path):
    path = lite_file(tmp_path / "lite.pth", fresh().encoder)
    state = torch.load(path, weights_only=True)
    state.pop("_conv_head.weight")
    torch.save(state, path)

    with pytest.raises(SettingsError, match=r"lite\.pth is not an EfficientNet-Lite0"):
        load_lite_weights(ImageEncoder(ARCHITECTURE), path)


def test_maps_of_another_look_are_others_and_the_same_again(images, tmp_path):
    encoder, look = fresh().encoder.eval(), Look(share=1.0)

    plain = np.array(write_block_maps(encoder, images, tmp_path))
    changed = np.array(write_block_maps(encoder, images, tmp_path, look=look))
    other = np.array(write_block_maps(encoder, images, tmp_path, look=look, number=1))
    again = np.array(write_block_maps(encoder, images, tmp_path, look=look))

    assert not np.array_equal(plain, changed)
    assert not np.array_equal(changed, other)
    np.testing.assert_array_equal(again, changed)


def test_kept_maps_are_what_the_encoder_computes(images, tmp_path):
    encoder = fresh().encoder.eval()

    write_block_maps(encoder, images, tmp_path)

    name = "S9N000000-LCC"
    kept = image_source(tmp_path, SIZE)(name)
    image = (image_source(images, SIZE)(name) - 0.3089279) / 0.25053555408335154
    with torch.inference_mode():
        whole = encoder.feature_map(image.expand(1, 3, -1, -1))
        from_kept = encoder.from_blocks(kept[None])
    assert torch.linalg.norm(from_kept - whole) < 2e-3 * torch.linalg.norm(whole)
