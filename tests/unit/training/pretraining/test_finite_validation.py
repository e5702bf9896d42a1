"""A validation loss that is not finite ends a pretraining before anything is published of it."""

import pytest
from typer.testing import CliRunner

from training.commands.train import app
from training.pretraining.pretraining_module import Pretraining

pytestmark = pytest.mark.filterwarnings(  # not ours
    "ignore::Warning:lightning", "ignore::Warning:torch"
)


@pytest.fixture
def lost(monkeypatch):
    """Return a function that makes the validation loss NaN where a function of the trainer says."""
    loss_of = Pretraining.loss_of

    def lose(where):
        def loss(self, parts):
            value = loss_of(self, parts)
            is_lost = not self.trainer.training and where(self.trainer)
            return value * float("nan") if is_lost else value

        monkeypatch.setattr(Pretraining, "loss_of", loss)

    return lose


def test_validation_loss_that_is_not_finite_ends_the_run_and_nothing_is_published(
    lost, arguments_for, tmp_path
):
    lost(lambda trainer: not trainer.sanity_checking and trainer.current_epoch == 1)

    result = CliRunner().invoke(app, ["pretrain", *arguments_for(tmp_path)])

    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("mammoclip-train:")]
    assert "the validation loss is nan at step 4 (epoch 2)" in line
    published = sorted(path.name for path in (tmp_path / "published").iterdir())
    assert published == ["model-best.tar", "model-epoch-0.tar"]
    assert not (tmp_path / "checkpoints/finished.ckpt").exists()


def test_look_before_the_first_step_may_give_no_finite_loss(lost, arguments_for, tmp_path):
    lost(lambda trainer: trainer.sanity_checking)

    result = CliRunner().invoke(
        app, ["pretrain", *arguments_for(tmp_path, "--trainer.max_epochs", "1")]
    )

    assert result.exit_code == 0, result.output
    assert (tmp_path / "published/model-best.tar").exists()
