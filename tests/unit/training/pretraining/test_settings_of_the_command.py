"""Settings of the command pretrain: what is refused, chosen, or told before the start."""

import shutil

import pytest
from typer.testing import CliRunner

from training.commands.train import app


@pytest.mark.parametrize(
    "option",
    [
        ("--trainer.gradient_clip_val", "1", "use --model.gradient_clip"),
        ("--trainer.accumulate_grad_batches", "2", "--model.chunk_size"),
        ("--trainer.strategy", "nope", "strategy='nope'"),
        ("--trainer.max_epochs", "-5", "max_epochs"),
        ("--trainer.nope", "1", "--trainer.nope"),
        ("--trainer.precision", "nope", "trainer.precision"),
    ],
    ids=lambda option: option[0],
)
@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_trainer_option_that_is_refused_is_told_in_one_line(arguments_for, tmp_path, option):
    name, value, said = option

    result = CliRunner().invoke(app, ["pretrain", *arguments_for(tmp_path, name, value)])

    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("mammoclip-train:")]
    assert said in line
    assert "Traceback" not in result.output


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_missing_and_damaged_pictures_are_named_before_the_first_step(
    arguments_for, tiny_data, tmp_path
):
    shutil.copytree(tiny_data / "png", tmp_path / "png")
    missing, damaged, *_ = sorted((tmp_path / "png").rglob("*.png"))
    missing.unlink()
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    sets = f"[{{table: {tiny_data / 'image_text.csv'}, images: {tmp_path / 'png'}}}]"
    arguments = arguments_for(tmp_path / "out", "--data.settings.image_text", sets)

    refused = CliRunner().invoke(app, ["pretrain", *arguments])
    skipped = CliRunner().invoke(
        app, ["pretrain", *arguments, "--data.settings.skip_unreadable", "true"]
    )

    assert refused.exit_code == 1
    assert "2 of 16 pictures are missing or damaged" in refused.output
    assert f"{missing}: there is no such file" in refused.output
    assert f"{damaged}: the PNG is damaged" in refused.output
    assert "--data.settings.skip_unreadable true" in refused.output
    assert skipped.exit_code == 0, skipped.output
    assert "2 of 16 pictures are left out" in skipped.output


@pytest.mark.parametrize("augmentation", ["official", "none", "{flip: 1.0, affine: 0.0}"])
@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_augmentation_is_chosen_by_name_or_by_its_amounts(arguments_for, tmp_path, augmentation):
    arguments = arguments_for(
        tmp_path, "--trainer.max_steps", "1", "--trainer.limit_val_batches", "0"
    )
    arguments += ["--data.settings.augmentation", augmentation]

    result = CliRunner().invoke(app, ["pretrain", *arguments])

    assert result.exit_code == 0, result.output


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_cost_is_told_and_nothing_is_trained(arguments_for, tmp_path):
    for further in ([], ["--model.chunk_size", "1"]):
        arguments = arguments_for(tmp_path / "out", "--dry_run", "true", *further)
        result = CliRunner().invoke(app, ["pretrain", *arguments, "--trainer.max_epochs", "3"])

        assert result.exit_code == 0, result.output
        assert "4 breasts with 8 pictures to train on, 4 breasts held out" in result.output
        assert "2 steps an epoch of 2 breasts on 1 device(s), 6 steps in 3" in result.output
        assert "hours on this machine; nothing was trained" in result.output
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["--data.settings.image_text", "[{table: gone.csv, images: png}]"], "gone.csv"),
        (["--data.settings.image_text", "[]"], "there is no data to learn from"),
        (["--model.network.tokenizer", ""], "there is no tokenizer"),
        (["--data.settings.batch_size", "64"], "4 breasts are too few for a batch of 64"),
    ],
)
@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_bad_settings_are_told_in_one_line(arguments_for, tmp_path, further, said):
    result = CliRunner().invoke(app, ["pretrain", *arguments_for(tmp_path, *further)])

    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["--trainer.max_epochs", "-1", "--trainer.max_steps", "5"], "5 steps in 3 epochs"),
        (["--trainer.max_epochs", "2", "--trainer.limit_train_batches", "0.5"], "2 steps in 2 e"),
        (["--trainer.max_epochs", "4", "--trainer.max_steps", "3"], "3 steps in 2 epochs"),
        (["--data.settings.batch_size", "64"], "4 breasts are too few for a batch of 64"),
    ],
)
@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_cost_is_that_of_the_run_as_it_is_limited(arguments_for, tmp_path, further, said):
    arguments = arguments_for(tmp_path / "out", "--dry_run", "true", *further)

    result = CliRunner().invoke(app, ["pretrain", *arguments])

    assert said in result.output
    assert result.exit_code == ("too few" in said)
