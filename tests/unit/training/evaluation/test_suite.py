"""The paper's evaluation on phantoms, in both published formats, ends with table and plots."""

import json

import pytest
from small_bundles import SIZE, small_random_bundle
from typer.testing import CliRunner

from training.commands.train import app
from training.phantoms.family import Family
from training.phantoms.writing import Order, write_phantoms

STUDIES = 12


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(
        Order(
            family=Family.PLAIN, seed=4, studies=STUDIES, out=folder, rows=SIZE[0], columns=SIZE[1]
        )
    )
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return small_random_bundle(tmp_path_factory.mktemp("bundles") / "small")


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def evaluated(phantoms, bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    parts = ("zero-shot", "probe", "retrieval", "blobs")
    result = evaluate(
        *("--suite", "paper", "--bundle", bundle, "--beside", f"other={bundle}"),
        *("--vindr", phantoms / "finding_annotations.csv", "--rsna", phantoms / "rsna_train.csv"),
        *("--reports", phantoms / "image_text.csv", "--images", phantoms / "png", "--out", out),
        *("--quick", "--epochs", "1", "--repeats", "20"),
        *(word for part in parts for word in ("--only", part)),
    )
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def figures(evaluated):
    return json.loads((evaluated / "evaluation.json").read_text())["figures"]


def test_every_task_stands_in_every_setting_beside_the_published(figures):
    ours = {(row["task"], row["setting"]) for row in figures if row["model"] == ""}
    tasks = ("VinDr mass", "VinDr suspicious calcification", "VinDr density", "RSNA cancer")

    for task in tasks:
        for setting in ("zero-shot", "linear probe 100 %"):
            assert (task, setting) in ours
    first = next(row for row in figures if row["task"] == "VinDr mass" and row["published"])
    assert first["published"]["B5+V"] == 0.76
    assert first["as_published"]["value"] is not None


def test_density_is_told_in_measures_that_rare_classes_count_in(figures):
    measures = {row["measure"] for row in figures if row["task"] == "VinDr density"}

    assert measures == {"accuracy", "balanced accuracy", "macro F1", "quadratic kappa"}


def test_the_same_bundle_beside_itself_has_the_same_figures(figures):
    def values(model):
        return [
            (row["task"], row["setting"], row["measure"], row["honest"] and row["honest"]["value"])
            for row in figures
            if row["model"] == model and row["setting"] == "zero-shot"
        ]

    assert values("") == values("other")
    assert len(values("")) > 10


def test_table_says_what_was_evaluated_and_how(evaluated):
    text = (evaluated / "evaluation.md").read_text()

    assert "UNTRAINED" in text
    assert "| preset | paper, but epochs 1 |" in text
    assert "finding_annotations.csv: " in text
    assert "blob detector without learning" in text
    assert "| RSNA cancer, zero-shot | machine |" in text


def test_curves_and_heads_are_written(evaluated):
    for head in ("mass", "calcification", "cancer"):
        assert (evaluated / "plots" / head / "roc.png").is_file()
        assert (evaluated / "heads" / f"{head}-probe.pth").is_file()


def test_calibrated_head_of_a_phantom_table_becomes_a_bundle(phantoms, bundle, tmp_path):
    data = ("--table", phantoms / "finding_annotations.csv", "--images", phantoms / "png")
    runner = CliRunner()
    made = runner.invoke(
        app,
        [
            *map(str, ("probe", "--bundle", bundle, *data, "--task", "mass", "--epochs", 1)),
            *map(str, ("--out", tmp_path / "probe", "--into", tmp_path / "with-head")),
        ],
    )
    assert made.exit_code == 0, made.output

    calibrated = runner.invoke(
        app,
        [
            *map(str, ("calibrate", tmp_path / "with-head", *data, "--part", "all")),
            *map(str, ("--sensitivity", 0.8, "--out", tmp_path / "calibrated")),
        ],
    )

    assert calibrated.exit_code == 0, calibrated.output
    manifest = json.loads((tmp_path / "calibrated" / "bundle.json").read_text())
    entry = next(item for item in manifest["findings"] if item["name"] == "mass")
    assert (entry["source"], entry["head"]) == ("head", "mass")
    assert entry["calibration"] is not None
    assert entry["operating_point"]["sensitivity"] >= 0.8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "magic"), "parts magic: known are zero-shot"),
        ((), "there is nothing to evaluate"),
    ],
)
def test_bad_options_are_refused_in_one_line(bundle, phantoms, tmp_path, arguments, said):
    result = evaluate(
        "--bundle", bundle, "--images", phantoms / "png", "--out", tmp_path, *arguments
    )

    assert result.exit_code == 1
    assert said in result.output


def test_a_table_under_the_wrong_name_is_refused(bundle, phantoms, tmp_path):
    result = evaluate(
        *("--bundle", bundle, "--images", phantoms / "png", "--out", tmp_path),
        *("--vindr", phantoms / "rsna_train.csv"),
    )

    assert result.exit_code == 1
    assert "is not a table of VinDr" in result.output
