"""Batches in chunks: the same gradient as at once."""

import numpy as np
import pytest
import torch
from torch import nn

from training.data.augmentation import PLAIN
from training.data.breast_records import read_image_text_table
from training.data.image_source import PictureFolder
from training.learning.losses import MultiViewEmbeddings, multi_view_loss
from training.pretraining.batches import BreastSamples, Collate, chunks_of
from training.pretraining.gradient_cache import cached_backward
from training.pretraining.network import NetworkSettings
from training.pretraining.pretraining_module import Pretraining


@pytest.fixture(scope="module")
def module(tiny_data):
    torch.manual_seed(0)
    network = NetworkSettings(
        architecture="tf_efficientnet_b0",
        image_weights="random",
        tokenizer=str(tiny_data / "tokenizer"),
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        },
        projection_size=32,
        rows=76,
        columns=64,
    )
    # BatchNorm's statistics are of a chunk in training; without it the two ways are the same.
    return Pretraining(network, label_weight=1.0, local_weight=1.0).eval()


@pytest.fixture(scope="module")
def batch(tiny_data, module):
    records = read_image_text_table(tiny_data / "image_text.csv")[:5]
    samples = BreastSamples(records, PictureFolder(tiny_data / "png", (76, 64)), PLAIN, seed=1)
    return Collate(module.tokenizer, with_sentences=True)([samples[0, place] for place in range(5)])


def gradients(module):
    found = {
        name: value.grad.clone()
        for name, value in module.named_parameters()
        if value.grad is not None
    }
    module.zero_grad()
    return found


@pytest.mark.parametrize("size", [1, 2])
def test_gradient_of_chunks_is_that_of_the_batch(module, batch, size):
    loss = module.loss_of(module(batch))
    loss.backward()
    plain = gradients(module)

    cached = cached_backward(
        module, chunks_of(batch, size), module, module.loss_of, torch.Tensor.backward
    )
    again = gradients(module)

    assert float(cached) == pytest.approx(float(loss.detach()), abs=1e-5)
    assert plain.keys() == again.keys()
    greatest = max(float(value.abs().max()) for value in plain.values())
    for name, value in plain.items():
        np.testing.assert_allclose(again[name], value, atol=1e-5 * greatest, rtol=1e-4)


def test_dropout_drops_the_same_in_both_passes():
    model = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 8))
    chunks = list(torch.randn(6, 2, 4, 6))
    seen = []

    def embed(chunk):
        rows = model(chunk)
        seen.append(rows.detach())
        return tuple(nn.functional.normalize(rows, dim=-1).unbind(1))

    cached_backward(
        model,
        chunks,
        embed,
        lambda parts: multi_view_loss(MultiViewEmbeddings(*parts), torch.tensor(5.0)),
        torch.Tensor.backward,
    )

    assert all(torch.equal(first, second) for first, second in zip(seen[:6], seen[6:], strict=True))
    assert not torch.equal(seen[0], seen[1])
