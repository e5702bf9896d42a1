"""The command: from tables and pictures to a detector whose boxes a node reports."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.engines.choice import load_engine
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.findings import BOX_THRESHOLD, LocalisationMethod
from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD
from mammoclip_core.manifest import read_manifest
from mammoclip_core.published.detector_file import read_detector
from training.commands.train import app
from training.data.boxed_images import read_boxed_images
from training.detection.detector_training import DetectionOrder, train_detector
from training.detection.examples import read_examples, shown
from training.detection.fitting import DetectionSettings, detected, detector_from
from training.detection.published_file import bundle_with_detector, write_detector
from training.detection.recipes import detection_recipe
from training.learning.presets import Preset
from training.reports.report_synthesis import Attribute


@pytest.fixture(scope="module")
def few(phantom_tables, tmp_path_factory):
    """Return a table of four images with a mass, one a patient, and one without."""
    images = read_boxed_images(phantom_tables / "finding_annotations.csv", [phantom_tables / "png"])
    bearing = {item.patient_id: item for item in images if Attribute.MASS in item.boxes}
    training = [item for item in bearing.values() if item.split == "training"][:3]
    test = [item for item in images if item.split == "test"]
    shown = next(item for item in test if Attribute.MASS in item.boxes)
    kept = [*training, shown, next(item for item in test if Attribute.MASS not in item.shown)]
    names = {item.image_id for item in kept}
    head, *lines = (phantom_tables / "finding_annotations.csv").read_text().splitlines()
    path = tmp_path_factory.mktemp("few") / "finding_annotations.csv"
    path.write_text("\n".join([head, *(line for line in lines if line.split(",")[2] in names)]))
    return path


def run(phantom_tables, small_bundle, out, *further):
    return CliRunner().invoke(
        app,
        [
            *("detect", "--bundle", str(small_bundle), "--images", str(phantom_tables / "png")),
            *("--table", str(phantom_tables / "finding_annotations.csv"), "--data", "phantoms"),
            *("--out", str(out), "--epochs", "1", "--batch-size", "2", "--frozen", *further),
        ],
    )


@pytest.fixture(scope="module")
def images(phantom_tables):
    return read_boxed_images(phantom_tables / "finding_annotations.csv", [phantom_tables / "png"])


@pytest.fixture(scope="module")
def trained(phantom_tables, small_bundle, few, tmp_path_factory):
    out = tmp_path_factory.mktemp("detector")
    further = ("--table", str(few), "--percent", "50", "--into", str(out / "b"))
    result = run(phantom_tables, small_bundle, out, *further)
    assert result.exit_code == 0, result.output
    return out


def test_bundle_reports_boxes(trained, small_bundle):
    manifest = read_manifest(trained / "b")

    assert [entry.name for entry in manifest.detectors] == ["mass"]
    assert set(manifest.sources) == {"detector mass"}
    state = read_detector(trained / "mass.pth").state
    kept = load_file(trained / "b/model.safetensors")
    before = load_file(small_bundle / "model.safetensors")
    for name, value in before.items():
        assert torch.equal(value, kept[name])
    for name, value in state.items():
        assert torch.equal(value, kept[f"detectors.mass.{name}"])


def test_encoder_of_the_detector_is_the_bundles(trained, small_bundle):
    state = read_detector(trained / "mass.pth").state
    before = load_file(small_bundle / "model.safetensors")

    name = "backbone.conv_head.weight"
    assert torch.equal(state[f"encoder.{name}"], before[f"image_encoder.{name}"].float())


def test_figure_has_both_columns(trained):
    report = json.loads((trained / "evaluation.json").read_text())

    (figure,) = report["figures"]
    assert (figure["task"], figure["setting"]) == ("phantoms mass detection", "frozen encoder 50 %")
    assert (figure["honest"]["cases"], figure["as_published"]["cases"]) == (2, 1)
    assert "focal alpha 0.6, score cut 0.05" in report["made_with"]["recipe"]
    assert report["made_with"]["preset"] == "paper"


def test_engine_reports_the_boxes_of_the_trained_model(small_bundle, images, tmp_path):
    detector = detector_from(small_bundle).eval()
    preprocessing = read_manifest(small_bundle).preprocessing
    (example,) = read_examples(images[:1], Attribute.MASS, preprocessing)
    torch.manual_seed(3)
    with torch.no_grad():
        detector.classes.output.weight.normal_(std=0.05)
        detector.boxes.output.weight.normal_(std=0.01)
        detector.classes.output.bias.zero_()
        inputs, _ = shown([example], PUBLISHED_MEAN, PUBLISHED_STD)
        logits = detector.classes(detector.pyramid(detector.encoder.taps(inputs)))
        # A few hundred of the 49,104 anchors speak, some of them louder than others.
        detector.classes.output.weight.div_(logits.std())
        detector.classes.output.bias.sub_((logits / logits.std()).quantile(0.999) + 1.0)
    write_detector(detector.state_dict(), "tf_efficientnet_b0", tmp_path / "mass.pth", 0.4)
    manifest = bundle_with_detector(
        small_bundle, "mass", tmp_path / "mass.pth", tmp_path / "bundle"
    )

    (own,) = detected(detector, [example])
    file = images[0].file
    request = StudyRequest(
        study_instance_uid="1.2",
        images=(ImageToAnalyse(sop_instance_uid=str(file), path=file),),
    )
    (image,) = (
        load_engine(tmp_path / "bundle", engine=EngineName.TORCH).analyze(request).findings.images
    )
    mass = next(item for item in image.findings if item.name == "mass")

    assert manifest.detectors[0].mean_average_precision == pytest.approx(0.4)
    assert mass.method is LocalisationMethod.BOX
    wanted = own.boxes[own.scores > BOX_THRESHOLD]
    has_area = (wanted[:, 0] < wanted[:, 2]) & (wanted[:, 1] < wanted[:, 3])
    rows, columns = images[0].size
    scaled = wanted[has_area] * np.array([columns / 512, rows / 512] * 2)
    found = np.array([region.box for region in mass.regions])
    assert len(found) > 0
    np.testing.assert_allclose(found, scaled, atol=0.02)
    assert mass.score == pytest.approx(own.scores.max(), abs=1e-4)


def test_picture_of_another_size_than_its_boxes_is_refused(phantom_tables, small_bundle, tmp_path):
    table = (phantom_tables / "finding_annotations.csv").read_text()
    (tmp_path / "other.csv").write_text(table.replace(",128,96,", ",1280,960,"))

    result = run(
        phantom_tables, small_bundle, tmp_path / "out", "--table", str(tmp_path / "other.csv")
    )

    assert result.exit_code == 1
    assert "has 128 x 96 pixels, its boxes are for 1280 x 960" in result.output


@pytest.mark.parametrize("change", ["pictures", "labels, patients or parts"])
def test_finished_detector_of_other_pictures_or_boxes_is_not_taken_for_this_one(
    phantom_tables, small_bundle, few, tmp_path, change
):
    pictures = shutil.copytree(phantom_tables / "png", tmp_path / "png")
    table = Path(shutil.copy(few, tmp_path / "own.csv"))
    order = DetectionOrder(
        bundle=small_bundle, table=table, images=(pictures,), out=tmp_path / "out", finding="mass",
        settings=DetectionSettings(recipe=detection_recipe(Preset.PAPER, epochs=1)),
        keeps_run=True,
    )  # fmt: skip
    said = []
    train_detector(order)
    train_detector(order, said.append)
    first = next(iter(read_boxed_images(table, [pictures])))
    if change == "pictures":
        Image.fromarray(255 - np.asarray(Image.open(first.file))).save(first.file)
    else:
        table.write_text(table.read_text().replace(f"{first.patient_id},", "another,"))

    train_detector(order, said.append)

    taken_up = [line for line in said if "taken up" in line or "begins anew" in line]
    assert "taken up after epoch 1" in taken_up[0]
    assert f"other settings ({change}): training begins anew" in taken_up[1]


def test_finding_without_a_training_image_is_told(phantom_tables, small_bundle, few, tmp_path):
    table = few.read_text().replace("['Mass']", "['Asymmetry']")
    (tmp_path / "none.csv").write_text(table)

    result = run(
        phantom_tables, small_bundle, tmp_path / "o", "--table", str(tmp_path / "none.csv")
    )

    assert result.exit_code == 1
    assert "none of the training images has a box of the finding" in result.output


def test_device_that_is_not_there_is_told(phantom_tables, small_bundle, tmp_path):
    result = run(phantom_tables, small_bundle, tmp_path / "o", "--device", "nowhere")

    assert result.exit_code == 1
    assert "nowhere" in result.output
    assert result.output.count("\n") == 1
