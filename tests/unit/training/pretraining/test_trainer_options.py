"""Options of the trainer that lead nowhere are refused in one line, before the first step."""

import pytest
from typer.testing import CliRunner

from training.commands.train import app
from training.errors import SettingsError
from training.pretraining.trainer_options import is_of_lightning, require_usable_options

pytestmark = pytest.mark.filterwarnings(  # not ours
    "ignore::Warning:lightning", "ignore::Warning:torch"
)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_epochs", 0, "nothing would be trained"),
        ("max_steps", 0, "nothing would be trained"),
        ("limit_train_batches", 0.0, "nothing would be trained"),
        ("check_val_every_n_epoch", 0, "at least 1"),
        ("check_val_every_n_epoch", -1, "at least 1"),
        ("val_check_interval", 0, "a share of an epoch"),
        ("log_every_n_steps", -1, "from one log to the next"),
        ("num_sanity_val_steps", -5, "-1 for all"),
        ("gradient_clip_val", -1.0, "--model.gradient_clip"),
        ("precision", "16-true", "32-true, bf16-mixed, 16-mixed"),
        ("precision", "transformer-engine", "32-true, bf16-mixed, 16-mixed"),
        ("precision", 64, "32-true, bf16-mixed, 16-mixed"),
    ],
)
def test_option_is_named_with_what_to_give_in_its_place(name, value, said):
    with pytest.raises(SettingsError) as refused:
        require_usable_options({name: value})

    assert str(refused.value).startswith(f"--trainer.{name} {value}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": -1, "max_steps": 5, "precision": "bf16-mixed"},
        {"max_epochs": None, "val_check_interval": "00:00:10:00", "precision": 16},
        {"check_val_every_n_epoch": None, "val_check_interval": 0.5, "precision": None},
        {"limit_val_batches": 0, "log_every_n_steps": 0, "num_sanity_val_steps": -1},
    ],
)
def test_options_that_make_sense_are_taken(options):
    require_usable_options(options)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("precision", "16-true", "--trainer.precision 16-true: pretraining computes in 32-true"),
        ("check_val_every_n_epoch", "0", "--trainer.check_val_every_n_epoch 0: give at least 1"),
        ("val_check_interval", "100", "Lightning refuses an option of --trainer: `val_check_inter"),
    ],
)
def test_refusal_is_one_line(arguments_for, tmp_path, option, value, said):
    arguments = arguments_for(tmp_path, f"--trainer.{option}", value)

    result = CliRunner().invoke(app, ["pretrain", *arguments])

    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("mammoclip-train:")]
    assert said in line
    assert "Traceback" not in result.output


def test_errors_of_what_lightning_runs_are_not_its_own():
    try:
        raise ValueError("ours")
    except ValueError as error:
        assert not is_of_lightning(error)


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (("limit_val_batches", "0"), "without a validation nothing is published"),
        (("check_val_every_n_epoch", "9"), "without a validation nothing is published"),
        (("max_steps", "1"), "no validation was made, so nothing was published"),
    ],
)
def test_run_without_validation_says_that_nothing_is_published(
    arguments_for, tmp_path, further, said
):
    option, value = further
    arguments = arguments_for(tmp_path, "--trainer.max_epochs", "1", f"--trainer.{option}", value)

    result = CliRunner().invoke(app, ["pretrain", *arguments])

    assert result.exit_code == 0, result.output
    assert said in result.output
    assert not (tmp_path / "published").exists()
