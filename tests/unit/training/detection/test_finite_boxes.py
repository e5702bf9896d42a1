"""A detector whose answers are not finite has found nothing by mistake: training ends."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mammoclip_core.networks.detector import Detector
from training.commands.train import app
from training.detection import detector_training, fitting
from training.detection.examples import Example
from training.detection.fitting import detected, initialise
from training.errors import DivergedError


@pytest.mark.parametrize("part", ["classes", "boxes"])
def test_answer_that_is_not_finite_is_named_with_its_epoch(part):
    torch.manual_seed(0)
    detector = Detector("tf_efficientnet_b0", 1)
    initialise(detector)
    getattr(detector, part).output.bias.data.fill_(float("nan"))
    box = np.zeros((0, 4), np.float32)
    shown = Example(patient_id="1", square=np.zeros((64, 64), np.uint8), boxes=box)

    with pytest.raises(DivergedError, match="not finite after epoch 3"):
        detected(detector.eval(), [shown], 2)


def test_detector_that_answers_nothing_on_the_test_part_is_not_written(
    phantom_tables, small_bundle, tmp_path, monkeypatch
):
    def lost(detector, examples, epoch):
        raise DivergedError(f"not finite after epoch {epoch + 1}")

    monkeypatch.setattr(detector_training, "detected", lost)
    monkeypatch.setattr(fitting, "_train_epoch", lambda *_, **__: [1.0])

    result = CliRunner().invoke(
        app,
        [
            *("detect", "--bundle", str(small_bundle), "--images", str(phantom_tables / "png")),
            *("--table", str(phantom_tables / "finding_annotations.csv"), "--frozen"),
            *("--out", str(tmp_path), "--epochs", "1", "--batch-size", "2"),
        ],
    )

    assert result.exit_code == 1
    assert "mammoclip-train: not finite after epoch 1" in result.output
    assert not list(tmp_path.glob("*.pth"))
