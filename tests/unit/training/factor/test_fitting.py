"""Mammo-FActOR learns which channel is a finding's, from labels of images alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from mammoclip_core.networks.efficientnet import EfficientNet
from mammoclip_core.networks.mammo_factor import (
    channel_similarities,
    factor_weights,
    image_similarity,
)
from training.errors import SettingsError
from training.factor.fitting import FactorSettings, fit_factor
from training.factor.localisation import TrueBoxes, localisation_figures, localise
from training.factor.network import ChannelNetwork, FactorNetwork
from training.learning.losses import FactorForm, factor_loss

CHANNELS, ROWS, COLUMNS = 12, 6, 4
OWN = {"mass": 7, "suspicious_calcification": 3}
"""The channel that fires where the finding is."""

QUICK = FactorSettings(learning_rate=3e-3, epochs=8, patience=8)
ENCODER = EfficientNet("tf_efficientnet_b0")
SIZE = (ROWS * 32, COLUMNS * 32)
CELL = 32.0


@pytest.fixture(scope="module")
def example():
    """Maps, labels (one finding an image), and the cell of each image's finding."""
    generator = np.random.default_rng(5)
    count = 240
    maps = (0.5 * generator.random((count, 1, CHANNELS, ROWS, COLUMNS))).astype(np.float16)
    kinds = generator.integers(2, size=count)
    labels = np.eye(2, dtype=np.int64)[kinds]
    places = np.stack(
        [generator.integers(ROWS, size=count), generator.integers(COLUMNS, size=count)]
    )
    for image, kind in enumerate(kinds):
        row, column = places[:, image]
        channel = list(OWN.values())[kind]
        # A network sees one channel at a time: the findings must look different in it.
        maps[image, 0, channel, row, slice(None) if kind else column] += 4
    return maps, labels, places.T


@pytest.fixture(scope="module")
def attributes():
    drawn = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    return dict(zip(OWN, functional.normalize(drawn, dim=1), strict=True))


@pytest.fixture(scope="module")
def fitted(example, attributes):
    maps, labels, _ = example
    return fit_factor(maps, labels, attributes, np.arange(len(maps)) % 4 == 0, QUICK)


def weights_of(fitted, finding):
    return factor_weights({k: v.numpy() for k, v in fitted.tensors().items()}, finding)


def test_loss_falls(fitted):
    assert fitted.losses[-1] < 0.5 * fitted.losses[0]
    assert min(fitted.validation_losses) == fitted.validation_losses[fitted.best_epoch]


@pytest.mark.parametrize("finding", OWN)
def test_channel_of_the_finding_is_found_on_unseen_images(fitted, example, finding):
    maps, labels, _ = example
    column = list(OWN).index(finding)
    unseen = [n for n in range(0, len(maps), 4) if labels[n, column]]
    weights = weights_of(fitted, finding)

    best = [
        int(channel_similarities(maps[n, 0].astype(np.float32), weights).argmax()) for n in unseen
    ]

    assert len(best) >= 10
    assert np.mean(np.array(best) == OWN[finding]) >= 0.9


def test_network_and_bundle_compute_the_same_similarity(fitted, example):
    maps = example[0][:5, 0].astype(np.float32)

    with torch.inference_mode():
        found = fitted.network(torch.from_numpy(maps)).numpy()

    for column, finding in enumerate(OWN):
        expected = [
            image_similarity(channel_similarities(m, weights_of(fitted, finding))) for m in maps
        ]
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-4)


def test_gradient_is_that_of_the_maximum_over_all_channels(attributes):
    torch.manual_seed(2)
    network = FactorNetwork(ROWS * COLUMNS, attributes)
    maps = torch.rand(4, CHANNELS, ROWS, COLUMNS)
    labels = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]])

    factor_loss(network(maps), labels).backward()

    found = [value.grad.clone() for value in network.parameters()]
    network.zero_grad()
    channels = maps.flatten(2)
    plain = torch.stack([part(channels).amax(dim=1) for part in network.networks], dim=1)
    factor_loss(plain / network.temperature, labels).backward()
    for own, value in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(own, value.grad, rtol=1e-4, atol=1e-6)


def test_similarities_are_the_references(parity_fixtures):
    reference = np.load(parity_fixtures / "factor.npz")
    maps = torch.from_numpy(reference["feature_map"])

    for number in range(2):
        network = ChannelNetwork(24, torch.from_numpy(reference["attribute_embeddings"][number]))
        network.load_state_dict(
            {
                "hidden.weight": torch.from_numpy(reference["w1"][number]),
                "hidden.bias": torch.from_numpy(reference["b1"][number]),
                "output.weight": torch.from_numpy(reference["w2"][number]),
                "output.bias": torch.from_numpy(reference["b2"][number]),
                "attribute": network.attribute,
            }
        )
        with torch.inference_mode():
            found = network(maps.flatten(2)) / 0.07
        np.testing.assert_allclose(
            found.numpy(), reference["channel_similarity"][:, :, number], rtol=1e-4, atol=1e-4
        )


def test_same_seed_gives_the_same_weights(example, attributes):
    maps, labels, _ = example
    brief = FactorSettings(epochs=1, seed=4, form=FactorForm.CONTRASTIVE, with_clean=True)
    validation = np.arange(len(maps)) % 2 == 0

    first, second = (fit_factor(maps, labels, attributes, validation, brief) for _ in range(2))

    for name, value in first.tensors().items():
        assert torch.equal(value, second.tensors()[name])


def test_finding_without_an_image_is_refused(example, attributes):
    maps, labels, _ = example
    none = labels * np.array([1, 0])

    with pytest.raises(
        SettingsError, match="none of the training images shows suspicious_calcification"
    ):
        fit_factor(maps, none, attributes, np.arange(len(maps)) % 4 == 0, QUICK)


def test_heatmap_points_at_the_finding(fitted, example):
    maps, labels, places = example
    centre = ENCODER.first_centre
    truths = []
    for label, (row, column) in zip(labels, places.tolist(), strict=True):
        x, y = centre + column * CELL, centre + row * CELL
        corners = [
            max(x - CELL, 0),
            max(y - CELL, 0),
            min(x + CELL, SIZE[1]),
            min(y + CELL, SIZE[0]),
        ]
        box = np.array([corners]) if label[0] else np.zeros((0, 4))
        truths.append(
            TrueBoxes(patient_id=str(len(truths)), boxes=box, sizes_mm=np.full(len(box), 13.0))
        )

    weights = weights_of(fitted, "mass")
    images = [
        localise(item[0], weights, truth, encoder=ENCODER, size=SIZE)
        for item, truth in zip(maps, truths, strict=True)
    ]
    figures = {figure.setting: figure for figure in localisation_figures(images, "mass")}

    assert figures["Mammo-FActOR"].honest.value >= 0.9
    assert figures["Mammo-FActOR, at least 12 mm"].honest.cases == labels[:, 0].sum()
    assert figures["Mammo-FActOR, 0.25"].honest.value > 0.5
    assert figures["Mammo-FActOR, 0.25"].as_published.cases == labels[:, 0].sum()


def test_channel_that_fires_is_the_most_similar_before_training(attributes):
    quiet = 0.5 * torch.rand(4, 30, ROWS * COLUMNS, generator=torch.Generator().manual_seed(3))
    quiet[:, 11, 5] += 20
    (attribute, _) = attributes.values()
    torch.manual_seed(1)
    network = ChannelNetwork(ROWS * COLUMNS, attribute)

    network.start_quiet(0.3)

    with torch.inference_mode():
        assert network(quiet).argmax(dim=1).tolist() == [11] * 4
        assert network(torch.zeros(1, ROWS * COLUMNS)).item() == pytest.approx(-1, abs=1e-5)
