"""The command: from tables and pictures to a bundle that localises by Mammo-FActOR."""

import json
import re
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from mammoclip_core.engines.choice import load_model
from mammoclip_core.errors import PixelError
from mammoclip_core.findings import LocalisationMethod
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.manifest import read_manifest
from mammoclip_core.networks.mammo_factor import factor_weights
from training.bundles.bundle_encoder import read_image_encoder
from training.commands.train import app
from training.data.boxed_images import BOXED_FINDINGS, PreparedFiles, read_boxed_images
from training.factor.attributes import attribute_embedding, report_sentences, synthesized_sentences
from training.factor.factor_training import FACTOR_NAME, factor_figures
from training.factor.feature_maps import FACTS_NAME, cache_feature_maps
from training.measures.figures import EvaluationReport
from training.reports.report_synthesis import Attribute
from training.reports.report_text import clean_report


def run(phantom_tables, small_bundle, out, *further):
    return CliRunner().invoke(
        app,
        [
            *("factor", "--bundle", str(small_bundle), "--images", str(phantom_tables / "png")),
            *("--table", str(phantom_tables / "finding_annotations.csv")),
            *("--truth", str(phantom_tables / "truth.csv"), "--data", "phantoms"),
            *("--out", str(out), "--epochs", "2", *further),
        ],
    )


@pytest.fixture(scope="module")
def trained(phantom_tables, small_bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("factor")
    result = run(
        phantom_tables,
        small_bundle,
        out,
        "--clean",
        "--top-channels",
        "5",
        "--into",
        str(out / "b"),
    )
    assert result.exit_code == 0, result.output
    return out


def test_bundle_localises_by_the_trained_weights(trained, phantom_tables):
    image = sorted((phantom_tables / "png").rglob("*.png"))[0]
    manifest = read_manifest(trained / "b")
    values = prepare(read_image(image), manifest.preprocessing).values

    (prediction,) = load_model(trained / "b").predict(np.repeat(values[None, None], 3, axis=1))

    assert prediction.methods == dict.fromkeys(
        ("mass", "suspicious_calcification"), LocalisationMethod.FACTOR
    )
    assert set(manifest.sources) == {"factor"}
    assert {entry.top_channels for entry in manifest.factor} == {5}


def test_bundle_keeps_the_weights_it_had(trained, small_bundle):
    before = load_file(small_bundle / "model.safetensors")
    after = load_file(trained / "b/model.safetensors")

    assert {name for name in after if name not in before} == set(
        load_file(trained / "factor.safetensors")
    )
    for name, value in before.items():
        assert torch.equal(value, after[name])


def test_figures_name_data_and_cases(trained, phantom_tables):
    report = json.loads((trained / "evaluation.json").read_text())

    images = read_boxed_images(phantom_tables / "finding_annotations.csv", [phantom_tables / "png"])
    test = [image for image in images if image.split == "test"]
    bearing = sum(Attribute.MASS in image.shown for image in test)
    figures = {
        (item["setting"], item["measure"]): item
        for item in report["figures"]
        if item["task"] == "phantoms mass localisation without boxes"
    }
    assert figures["Mammo-FActOR, 0.5", "average precision at IoU 0.5"]["honest"]["cases"] == len(
        test
    )
    assert figures["Mammo-FActOR", "pointing game"]["honest"]["cases"] == bearing > 0
    assert "UNTRAINED" not in report["made_with"]["bundle"]
    assert "random weights" in report["made_with"]["bundle"]


def test_figures_are_of_the_channels_that_make_the_heatmaps(trained, phantom_tables, small_bundle):
    encoder, manifest = read_image_encoder(small_bundle)
    tensors = {name: value.numpy() for name, value in load_file(trained / FACTOR_NAME).items()}
    images = read_boxed_images(
        phantom_tables / "finding_annotations.csv",
        [phantom_tables / "png"],
        phantom_tables / "truth.csv",
    )

    expected = factor_figures(
        encoder,
        manifest,
        [image for image in images if image.split == "test"],
        {name: factor_weights(tensors, name) for name in BOXED_FINDINGS},
        data="phantoms",
        top_channels=5,
    )

    written = json.loads((trained / "evaluation.json").read_text())["figures"]
    assert written == EvaluationReport(made_with={}, figures=expected).as_json()["figures"]


def test_interrupted_cache_goes_on_to_the_same_maps(phantom_tables, small_bundle, tmp_path):
    encoder, manifest = read_image_encoder(small_bundle)
    images = read_boxed_images(
        phantom_tables / "finding_annotations.csv", [phantom_tables / "png"]
    )[:5]
    names = [image.image_id for image in images]
    source = PreparedFiles(images, manifest.preprocessing)
    seen = []

    def reading(name):
        seen.append(name)
        return source(name)

    def cached(folder, images_sha256="2", **options):
        return cache_feature_maps(
            folder, encoder, names, reading, manifest.preprocessing, weights_sha256="1",
            images_sha256=images_sha256, batch_size=2, **options,
        )  # fmt: skip

    whole = cached(tmp_path / "maps", with_flips=True).copy()
    facts = json.loads((tmp_path / "maps" / FACTS_NAME).read_text())
    (tmp_path / "maps" / FACTS_NAME).write_text(json.dumps({**facts, "done": 4}))
    seen.clear()

    again = cached(tmp_path / "maps", with_flips=True)

    assert seen == names[4:]
    np.testing.assert_array_equal(again, whole)
    seen.clear()
    cached(tmp_path / "maps", images_sha256="3", with_flips=True)
    assert seen == names  # other pictures under the same names
    assert cached(tmp_path / "maps").shape[1] == 1
    with torch.inference_mode():
        mirrored = ((source(names[0]).flip(-1) - manifest.preprocessing.mean)
                    / manifest.preprocessing.std)  # fmt: skip
        expected = encoder.feature_map(mirrored.expand(1, 3, -1, -1))[0]
    np.testing.assert_allclose(whole[0, 1], expected.numpy(), rtol=2e-3, atol=2e-3)


def test_maps_of_other_pictures_that_were_begun_are_not_taken_for_the_former_ones(
    phantom_tables, small_bundle, tmp_path
):
    encoder, manifest = read_image_encoder(small_bundle)
    images = read_boxed_images(
        phantom_tables / "finding_annotations.csv", [phantom_tables / "png"]
    )[:2]
    source = PreparedFiles(images, manifest.preprocessing)

    def cached(reading, images_sha256):
        return cache_feature_maps(
            tmp_path, encoder, [image.image_id for image in images], reading,
            manifest.preprocessing, weights_sha256="1", images_sha256=images_sha256,
        )  # fmt: skip

    def killed(name):
        raise KeyboardInterrupt

    expected = cached(source, "2").copy()
    with pytest.raises(KeyboardInterrupt):
        cached(killed, "3")

    np.testing.assert_array_equal(cached(source, "2"), expected)


def test_full_disk_is_said_before_the_first_map(phantom_tables, small_bundle, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        result = run(phantom_tables, small_bundle, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert result.exit_code == 1
    assert re.search(
        r"^mammoclip-train: /\S+/maps\.npy: File too large$", result.output, re.MULTILINE
    )


def test_boxes_meet_the_lesions_on_the_models_input(phantom_tables, small_bundle):
    images = read_boxed_images(
        phantom_tables / "finding_annotations.csv",
        [phantom_tables / "png"],
        phantom_tables / "truth.csv",
    )
    preprocessing = read_manifest(small_bundle).preprocessing
    (image, attribute), *_ = ((image, attribute) for image in images for attribute in image.boxes)

    boxes = image.boxes_on(attribute, image.prepared(preprocessing))

    np.testing.assert_allclose(boxes, image.boxes[attribute], atol=1e-9)
    assert (image.sizes_of(attribute) > 0).all()


def test_untrained_figures_of_nothing_are_no_numbers(small_bundle):
    encoder, manifest = read_image_encoder(small_bundle)
    weights = {"mass": None}

    figures = factor_figures(encoder, manifest, [], weights, top_channels=3)

    assert all(np.isnan(figure.honest.value) for figure in figures)


def test_sentences_of_reports_that_deny_are_left_out():
    reports = [
        clean_report(
            findings="There is an oval mass. No mass in the left breast. Masses are rare."
        ),
        clean_report(impression="There is an oval mass. A biopsy is advised."),
    ]

    assert report_sentences(reports, Attribute.MASS) == ["there is an oval mass"]


def test_written_sentences_speak_of_both_sides():
    sentences = synthesized_sentences(Attribute.MASS)

    assert len(set(sentences)) == 800
    assert sum("left breast" in item for item in sentences) == 400
    assert all("mass" in item for item in sentences)


def test_attribute_is_the_mean_of_its_sentences():
    rows = torch.eye(3)

    found = attribute_embedding(lambda texts: rows[[int(text) for text in texts]], ["0", "2"])

    torch.testing.assert_close(found, torch.tensor([0.5, 0, 0.5]).sqrt())


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (("--finding", "density"), "do not know the finding 'density'"),
        (("--finding", "asymmetry"), "does not have: asymmetry"),
        (("--images", "gone"), "images are not under"),
    ],
)
def test_bad_orders_are_told_in_one_line(phantom_tables, small_bundle, tmp_path, further, said):
    arguments = (phantom_tables, small_bundle, tmp_path / "out")
    if further[0] == "--images":
        bad = phantom_tables / "masks"
        result = CliRunner().invoke(
            app,
            [*("factor", "--bundle", str(small_bundle), "--out", str(tmp_path / "out")),
             *("--table", str(phantom_tables / "finding_annotations.csv"), "--images", str(bad))],
        )  # fmt: skip
    else:
        result = run(*arguments, *further)

    assert result.exit_code == 1
    assert said in result.output
    assert result.output.count("\n") == 1


def test_damaged_picture_is_named(phantom_tables, small_bundle, tmp_path):
    (image, *_) = read_boxed_images(
        phantom_tables / "finding_annotations.csv", [phantom_tables / "png"]
    )
    damaged = tmp_path / image.file.name
    damaged.write_bytes(b"no picture")

    with pytest.raises(PixelError, match=image.file.name):
        replace(image, file=damaged).prepared(read_manifest(small_bundle).preprocessing)
