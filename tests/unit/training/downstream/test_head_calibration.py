"""A head of any label is calibrated as what it is: a yes or no, or one of several classes."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from typer.testing import CliRunner

from training.commands.train import app
from training.downstream.calibration import temperature, tempered

MAPPING = """
[columns]
image = "file"
patient = "patient_id"
split = "split"

[labels.invasive]
column = "mass"

[labels.risk]
column = "density"
classes = [["A", "B"], "C", "D"]
"""


def test_temperature_finds_what_the_logits_were_multiplied_by():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 3)) * 2
    chances = softmax(logits, axis=1)
    labels = (chances.cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1)
    sharpened = softmax(3 * logits, axis=1)

    found = temperature(labels, sharpened)

    assert found == pytest.approx(3, rel=0.05)
    assert tempered(sharpened, 3.0) == pytest.approx(chances, abs=1e-4)


@pytest.fixture
def command(small_bundle, pictures, tmp_path):
    """Run a command on the bundle and the table, whose labels have names of one's own."""
    (tmp_path / "own.toml").write_text(MAPPING)

    def run(name, *further):
        bundle = ("--bundle",) if name != "calibrate" else ()
        return CliRunner().invoke(
            app,
            [
                *(name, *bundle, str(small_bundle), "--table", str(pictures / "own.csv")),
                *("--images", str(pictures), "--mapping", str(tmp_path / "own.toml"), *further),
            ],
        )

    return run


@pytest.fixture
def head(command, tmp_path):
    """Train a probe of a label, and return what calibrates it."""

    def of(label):
        out = str(tmp_path / label)
        made = command("probe", "--task", label, "--out", out, "--epochs", "2")
        assert made.exit_code == 0, made.output
        return ("--head", f"{out}/head.pth", "--finding", label, "--out", f"{out}/calibrated")

    return of


def test_yes_or_no_is_calibrated_and_cut(command, head, tmp_path):
    made = command("calibrate", *head("invasive"), "--sensitivity", "0.9")

    assert made.exit_code == 0, made.output
    known = json.loads((tmp_path / "invasive" / "calibrated" / "calibration.json").read_text())
    answers = pd.read_csv(tmp_path / "invasive" / "calibrated" / "answers.csv")
    assert set(answers["part"]) == {"held out", "test"}
    above = answers["probability"] >= known["threshold"]
    assert (answers["above_threshold"] == above).all()
    held_out = answers[answers["part"] == "held out"]
    found = held_out[held_out["invasive"] == 1]["above_threshold"].mean()
    assert known["operating point"]["sensitivity"] == found >= 0.9
    assert known["operating point"]["data"].startswith("own.csv, part held out, ")
    said = torch.load(tmp_path / "invasive" / "head.pth", weights_only=True)["predictions"]
    tested = answers[answers["part"] == "test"]
    assert tested["score"].to_numpy() == pytest.approx(said[:, 0].numpy(), abs=1e-5)


def test_classes_get_a_temperature_and_no_threshold(command, head, tmp_path):
    further = head("risk")
    refused = command("calibrate", *further, "--sensitivity", "0.9")
    made = command("calibrate", *further)

    assert made.exit_code == 0, made.output
    assert "risk has 3 classes, and no threshold: leave --sensitivity" in refused.output
    folder = tmp_path / "risk" / "calibrated"
    answers = pd.read_csv(folder / "answers.csv")
    assert answers.filter(like="probability of").sum(axis=1).to_numpy() == pytest.approx(1)
    assert list(answers.filter(like="probability of")) == [
        f"probability of {name}" for name in ("A", "C", "D")
    ]
    assert json.loads((folder / "calibration.json").read_text())["temperature"] > 0


def test_what_does_not_fit_is_refused_with_what_to_do(command, head, tmp_path):
    further = head("invasive")
    out = ("--out", str(tmp_path / "out"), "--sensitivity", "0.9")

    other = command("calibrate", *further[:2], "--finding", "risk", *out)
    unnamed = command("calibrate", *further[:2], *out)
    without = command("calibrate", *further)
    bundle = command("calibrate", "--finding", "risk", *out)

    results = (other, unnamed, without, bundle)
    assert [result.exit_code for result in results] == [1, 1, 1, 1]
    said = [" ".join(result.output.split()) for result in results]
    assert "has 1 outputs, and risk of" in said[0]
    assert "name it with one --finding" in said[1]
    assert "set either a target sensitivity or a target specificity" in said[2]
    assert "is calibrated with --head FILE" in said[3]
