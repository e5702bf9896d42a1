"""The one command: from nothing to a bundle with its card, at a size that teaches nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load_file
from typer.testing import CliRunner

from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.engines.choice import load_model
from mammoclip_core.manifest import read_manifest
from training.examples.demonstration.compare_pretraining import DEFAULT_SETTINGS, main
from training.examples.demonstration.held_out_seeds import held_out_seeds
from training.examples.demonstration.make_weights import make_weights
from training.examples.demonstration.plan import Plan
from training.phantoms.family import Family

app = typer.Typer()
app.command()(main)

# Lightning's own: nothing here may warn.
pytestmark = [
    pytest.mark.long,  # half a minute of two processors
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return Plan(
        folder=tmp_path_factory.mktemp("weights"),
        image_weights="random",
        studies=8,
        processes=1,
        window_steps=2,
        image_steps=1,
        epochs=1,
        validation_studies=4,
        choice_studies=4,
        held_out_studies=4,
        size=(160, 96),
        window=(96, 64),
        window_batch=4,
        image_batch=2,
        pretraining_batch=4,
        has_twin=True,
    )


@pytest.fixture(scope="module")
def bundle(plan):
    return make_weights(plan)


def test_bundle_says_what_it_is(bundle):
    manifest = read_manifest(bundle)

    assert manifest.trained_on == "synthetic phantoms"
    assert [entry.name for entry in manifest.findings] == [
        "mass",
        "suspicious_calcification",
        "density",
    ]
    assert all(
        entry.calibration_domain == "phantoms" and not entry.is_calibrated
        for entry in manifest.findings
        if not entry.is_class_set
    )
    assert load_model(bundle).manifest == manifest


def test_blocks_stand_still_while_the_last_convolution_learns(plan, bundle):
    trained = torch.load(plan.folder / "encoder.pt", weights_only=True)

    finished = load_file(bundle / "model.safetensors")

    block, last = "blocks.6.0.conv_pwl.weight", "conv_head.weight"
    prefix = "image_encoder.backbone."
    torch.testing.assert_close(finished[prefix + block], trained[block].half(), rtol=0, atol=0)
    assert not torch.equal(finished[prefix + last], trained[last].half())


def test_card_compares_models_and_a_detector_without_learning(plan, bundle):
    card = (bundle / "model-card.md").read_text()
    report = json.loads((plan.folder / "evaluation.json").read_text())

    settings = {figure["setting"] for figure in report["figures"]}
    assert {
        "multi-view supervision",
        "single views",
        "random weights",
        "blob detector without learning",
    } <= settings
    assert read_manifest(bundle).weights_sha256 in card
    assert "16 images, seed 303" in card


def test_second_run_computes_nothing_again(plan, bundle):
    def times():
        computed = (".ckpt", ".npy", ".pt", ".safetensors", ".md")
        return {
            path: path.stat().st_mtime_ns
            for path in plan.folder.rglob("*")
            if path.suffix in computed
        }

    before = times()

    assert make_weights(plan) == bundle

    assert times() == before


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")
def test_ways_are_compared_on_the_maps_that_lie_there(plan, bundle, tmp_path, monkeypatch):
    def compared(*further):
        arguments = [
            *("--folder", str(plan.folder), "--out", str(tmp_path), "--studies", "8"),
            *("--family", "plain", "--epochs", "1", "--seeds", "1", *further),
        ]
        return CliRunner().invoke(app, arguments)

    small = ("--settings", f"{DEFAULT_SETTINGS} --data.settings.batch_size 4")
    first = compared(*small)
    assert first.exit_code == 0, first.output
    table = (tmp_path / "comparison.md").read_text()
    monkeypatch.setattr("training.examples.demonstration.compare_pretraining.pretrain", None)
    again, other, unknown = compared(*small), compared(), compared("--judged-by", "5")

    assert again.exit_code == 0, again.output
    assert "| figure | baseline | single-views | difference" in table
    assert "| findings, mean AUROC |" in table
    assert "| judged by | 16 images of seed 303, by prompts and class activation |" in table
    assert (tmp_path / "comparison.md").read_text() == table
    assert "holds a comparison with other settings: choose another --out" in other.output
    assert "maps-5 holds no maps: run make_weights to its end" in unknown.output


def test_ways_are_compared_on_varied_phantoms_by_default(plan, bundle, tmp_path):
    """The same as what `make_weights` draws by default, which does not lie in this folder."""
    arguments = ["--folder", str(plan.folder), "--out", str(tmp_path), "--judged-by", "303"]

    refused = CliRunner().invoke(app, arguments)

    assert refused.exit_code != 0
    assert "maps-look-0-102 holds no maps" in refused.output


@pytest.fixture(scope="module")
def varied_plan(plan, tmp_path_factory):
    return replace(
        plan,
        folder=tmp_path_factory.mktemp("varied"),
        image_weights=str(demonstration_bundle()),
        family=Family.VARIED,
        studies=10,
        pretraining_studies=9,
        window=(96, 64),
    )


@pytest.fixture(scope="module")
def varied_bundle(varied_plan):
    return make_weights(varied_plan)


def test_varied_phantoms_teach_a_bundle_s_encoder_in_several_looks(varied_plan, varied_bundle):
    maps = [
        np.load(folder / "maps.npy") for folder in varied_plan.looks_of(varied_plan.training_seed)
    ]

    assert len(maps) == varied_plan.looks == 2
    assert len(maps[0]) == 4 * varied_plan.pretraining_studies
    assert not np.array_equal(*maps)
    assert read_manifest(varied_bundle).version == "2.2.0-phantoms"


def test_card_of_varied_phantoms_tells_seeds_of_the_finished_weights(varied_bundle):
    card = (varied_bundle / "model-card.md").read_text()
    manifest = read_manifest(varied_bundle)

    for seed in held_out_seeds(manifest.weights_sha256):
        assert f"varied phantoms of seed {seed}, mass by its trained prompts" in card
    assert read_manifest(demonstration_bundle()).weights_sha256 in card
    assert "its blocks stood still" in card
    assert "| learned from | 10 studies, seed 102, varied phantoms |" in card
    assert "| pretraining | 1 epochs of the first 9 of these studies, " in card
