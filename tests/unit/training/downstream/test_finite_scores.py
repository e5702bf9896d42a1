"""A head whose scores are not finite is not written, though its weights and losses are."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from training.bundles.bundle_encoder import read_image_encoder
from training.commands.train import app
from training.downstream import finetune
from training.downstream.cases import Cases, Division, Protocol
from training.downstream.heads import Plan, save_head
from training.downstream.probe import train_probe
from training.downstream.recipes import Recipe, Training
from training.downstream.tasks import DENSITY, MASS
from training.errors import DivergedError
from training.learning.finite import finite_scores

NAN = float("nan")


def cases(labels, first):
    count = len(labels)
    return Cases(
        images=np.arange(first, first + count),
        labels=np.asarray(labels),
        patients=np.arange(count).astype(object),
        units=np.arange(count),
    )


@pytest.fixture
def division():
    labels = [0, 1, 0, 1]
    return Division(training=cases(labels, 0), choice=cases(labels, 4), test=cases(labels, 8),
                    positive_weight=1.0)  # fmt: skip


def probe(encoder, features, division, task=MASS):
    recipe = Recipe(epochs=2, batch_size=2, learning_rate=1e-3)
    plan = Plan(task=task, training=Training.PROBE, protocol=Protocol.HONEST, recipe=recipe)
    return train_probe(encoder, features, division, plan)


def test_fine_tune_that_answers_nothing_ends_in_one_line_and_writes_no_head(
    small_bundle, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(finetune, "shares_of", lambda logits: np.full((len(logits), 1), NAN))

    result = CliRunner().invoke(
        app,
        [
            *("finetune", "--bundle", str(small_bundle), "--task", "mass"),
            *("--table", str(pictures / "own.csv"), "--images", str(pictures)),
            *("--out", str(tmp_path), "--epochs", "1", "--augmentation", "none"),
        ],
    )

    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("mammoclip-train:")]
    assert "judged images are not finite after epoch 1" in line
    assert not (tmp_path / "head.pth").exists()


@pytest.mark.parametrize(("first", "epoch"), [(4, 1), (8, 1)], ids=["held out", "test"])
@pytest.mark.parametrize("task", [MASS, DENSITY], ids=["logit", "classes"])
def test_probe_that_answers_nothing_says_after_which_epoch(
    small_bundle, division, first, epoch, task
):
    encoder = read_image_encoder(small_bundle)[0]
    features = np.ones((12, encoder.size), np.float32)
    features[first] = NAN

    with pytest.raises(DivergedError, match=f"1 of 4 judged images .* after epoch {epoch}"):
        probe(encoder, features, division, task)


def test_head_with_a_score_that_is_not_finite_is_not_written(small_bundle, division, tmp_path):
    encoder = read_image_encoder(small_bundle)[0]
    head = probe(encoder, np.ones((12, encoder.size), np.float32), division)
    spoilt = replace(head, test_scores=np.array([[0.5], [NAN]]))

    with pytest.raises(DivergedError, match="values of predictions are not finite"):
        save_head(spoilt, tmp_path / "head.pth")

    assert not list(tmp_path.iterdir())


def test_scores_of_no_image_are_finite():
    assert finite_scores(np.zeros((0, 4)), 0).shape == (0, 4)
