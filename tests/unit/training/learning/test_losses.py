from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from mammoclip_core.networks.mammo_factor import (
    FactorWeights,
    channel_similarities,
    image_similarity,
)
from training.learning.losses import (
    ATTENTION_TEMPERATURE,
    FactorForm,
    MultiViewEmbeddings,
    SupervisionWeights,
    contrastive_loss,
    factor_loss,
    gathered,
    local_loss,
    multi_view_loss,
)

RANKS = 2
ROWS, INPUTS, SIZE = 6, 5, 8


class TinyClip(nn.Module):
    """Two linear encoders and a temperature: all that the loss can reach."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image, self.text = nn.Linear(INPUTS, SIZE), nn.Linear(INPUTS, SIZE)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, batch: Tensor) -> Tensor:
        images, texts = self.image(batch[:, :2]), self.text(batch[:, 2:])
        views = functional.normalize(torch.cat([images, texts], dim=1), dim=-1)
        scale = self.logit_scale.exp()
        local = local_loss(views[:, :2], views[:, 2:], scale)
        return multi_view_loss(MultiViewEmbeddings(*views.unbind(1)), scale) + local


def joint_batch() -> Tensor:
    return torch.randn(ROWS, 4, INPUTS, generator=torch.Generator().manual_seed(5))


def loss_with_gradients(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    loss = model(batch)
    loss.backward()
    gradients = {
        name.removeprefix("module."): parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {"loss": loss.detach(), **gradients}


def compute_on_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS
    )
    share = joint_batch().chunk(RANKS)[rank]
    results = loss_with_gradients(DistributedDataParallel(TinyClip()), share)
    torch.save(results, folder / f"{rank}.pt")
    distributed.barrier()  # no rank leaves while another still speaks with it
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(compute_on_rank, args=(folder,), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def factor_similarities(reference: "np.lib.npyio.NpzFile") -> Tensor:
    rows = [
        [
            image_similarity(
                channel_similarities(
                    feature_map,
                    FactorWeights(
                        hidden_weight=reference["w1"][attribute],
                        hidden_bias=reference["b1"][attribute],
                        output_weight=reference["w2"][attribute],
                        output_bias=reference["b2"][attribute],
                        attribute=reference["attribute_embeddings"][attribute],
                    ),
                )
            )
            for attribute in range(2)
        ]
        for feature_map in reference["feature_map"]
    ]
    return torch.tensor(rows)


@pytest.mark.parametrize("case", range(4))
def test_multi_view_loss_is_the_official_one(parity_fixtures: Path, case: int) -> None:
    reference = np.load(parity_fixtures / "mvs-loss.npz")
    views = MultiViewEmbeddings(*(torch.tensor(reference[key]) for key in ("I1", "I2", "T1", "T2")))
    image_image, text_text = reference["weights"][case].tolist()
    weights = SupervisionWeights(image_image=image_image, text_text=text_text)

    loss = multi_view_loss(views, torch.tensor(reference["logit_scale"]), weights)

    assert loss.item() == pytest.approx(float(reference["loss"][case]), rel=1e-5)


def test_default_weights_are_those_of_the_paper() -> None:
    assert SupervisionWeights() == SupervisionWeights(
        image_text=1.0, image_image=1.0, text_text=0.5
    )


def test_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        SupervisionWeights(text_text=-0.5)


def test_single_views_know_nothing_of_the_other_view() -> None:
    views = functional.normalize(torch.randn(4, ROWS, SIZE, generator=_generator()), dim=-1)
    embeddings, scale = MultiViewEmbeddings(*views), torch.tensor(5.0)
    weights = SupervisionWeights(image_image=0.0, text_text=0.0, across_views=False)

    loss = multi_view_loss(embeddings, scale, weights)

    own = [
        contrastive_loss(embeddings.first_images, embeddings.first_texts, scale),
        contrastive_loss(embeddings.second_images, embeddings.second_texts, scale),
    ]
    torch.testing.assert_close(loss, torch.stack(own).mean())
    crossed = SupervisionWeights(image_image=0.0, text_text=0.0)
    assert abs(float(multi_view_loss(embeddings, scale, crossed) - loss)) > 0.01


def test_local_loss_is_what_a_plain_loop_computes() -> None:
    cells, sentences = parts_of_rows(12), parts_of_rows(3)
    scale, own = torch.tensor(5.0), torch.arange(ROWS)
    logits = torch.zeros(ROWS, ROWS)
    for image in range(ROWS):
        for text in range(ROWS):
            cosines = []
            for sentence in sentences[text]:
                weights = torch.exp(cells[image] @ sentence / ATTENTION_TEMPERATURE)
                attended = (weights[:, None] * cells[image]).sum(0) / weights.sum()
                cosines.append(functional.cosine_similarity(attended, sentence, dim=0))
            logits[image, text] = scale * torch.stack(cosines).mean()

    loss = local_loss(cells, sentences, scale)

    expected = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
    torch.testing.assert_close(loss, expected / 2)


def test_one_cell_and_one_sentence_are_compared_as_whole_images_and_texts_are() -> None:
    cells, sentences = parts_of_rows(1), parts_of_rows(2)[:, :1]
    scale = torch.tensor(5.0)

    loss = local_loss(cells, sentences, scale)

    torch.testing.assert_close(loss, contrastive_loss(cells[:, 0], sentences[:, 0], scale))


def parts_of_rows(count: int) -> Tensor:
    return functional.normalize(torch.randn(ROWS, count, SIZE, generator=_generator()), dim=-1)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_image_text_weight_scales_the_mean_of_the_four_pairs() -> None:
    views = MultiViewEmbeddings(*functional.normalize(joint_batch(), dim=-1).unbind(1))
    scale = torch.tensor(10.0)
    only_image_text = SupervisionWeights(image_text=2.0, image_image=0.0, text_text=0.0)

    loss = multi_view_loss(views, scale, only_image_text)

    pairs = [contrastive_loss(i, t, scale).item() for i in views[:2] for t in views[2:]]
    assert loss.item() == pytest.approx(2.0 * np.mean(pairs), rel=1e-6)


def test_loss_on_two_ranks_is_that_of_the_joint_batch(
    on_two_ranks: list[dict[str, Tensor]],
) -> None:
    expected = loss_with_gradients(TinyClip(), joint_batch())["loss"]

    for result in on_two_ranks:
        torch.testing.assert_close(result["loss"], expected, rtol=1e-5, atol=0)


def test_gradients_on_two_ranks_are_those_of_the_joint_batch(
    on_two_ranks: list[dict[str, Tensor]],
) -> None:
    expected = loss_with_gradients(TinyClip(), joint_batch())

    for result in on_two_ranks:
        assert result.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(result[name], gradient, rtol=1e-5, atol=1e-6)


def test_embeddings_stay_as_they_are_without_other_ranks() -> None:
    embeddings = joint_batch()

    assert gathered(embeddings) is embeddings


def test_factor_loss_is_the_official_one(parity_fixtures: Path) -> None:
    reference = np.load(parity_fixtures / "factor.npz")
    similarities = factor_similarities(reference)

    loss = factor_loss(similarities, torch.tensor(reference["labels"]))

    assert loss.item() == pytest.approx(float(reference["loss"]), rel=1e-5)


@pytest.mark.parametrize("form", FactorForm)
def test_factor_loss_is_what_a_plain_loop_computes(form: FactorForm) -> None:
    generator = np.random.default_rng(7)
    similarities = generator.normal(0.0, 2.0, (9, 3))
    labels = generator.integers(0, 2, (9, 3))
    losses = []
    for image, attribute in np.argwhere(labels == 1):
        negatives = similarities[labels[:, attribute] == 0, attribute]
        extra = labels[:, attribute].sum() if form is FactorForm.PUBLISHED else 0
        positive = np.exp(similarities[image, attribute])
        losses.append(-np.log(positive / (positive + np.exp(negatives).sum() + extra)))

    loss = factor_loss(torch.tensor(similarities), torch.tensor(labels), form)

    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-10)


@pytest.mark.parametrize("form", FactorForm)
@pytest.mark.parametrize("label", [0, 1])
def test_factor_loss_of_equal_labels_has_finite_gradients(form: FactorForm, label: int) -> None:
    similarities = torch.tensor([[80.0], [-90.0]], requires_grad=True)

    factor_loss(similarities, torch.full((2, 1), label), form).backward()

    assert similarities.grad is not None
    assert similarities.grad.isfinite().all()


def test_attribute_that_no_image_shows_adds_nothing_to_the_factor_loss() -> None:
    similarities = torch.tensor([[1.0, 9.0], [2.0, 8.0]])

    both = factor_loss(similarities, torch.tensor([[1, 0], [0, 0]]))

    alone = factor_loss(similarities[:, :1], torch.tensor([[1], [0]]))
    assert both.item() == pytest.approx(alone.item())
