"""Ways of pretraining side by side: by paired differences, on patients that nobody learnt from."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from small_bundles import SIZE
from typer.testing import CliRunner

from mammoclip_core.manifest import read_manifest
from training.commands.train import app
from training.errors import SettingsError, TableError
from training.evaluation.comparison import ComparisonData, ComparisonOrder, compare
from training.evaluation.comparison_runs import Runs, compare_runs
from training.evaluation.comparison_table import Comparison, paired_difference, write_comparison
from training.phantoms.family import Family
from training.phantoms.writing import Order, write_phantoms
from training.preparation.picture_array import PackOrder, pack_pictures
from training.terminal import progress

SMALL = (
    f"--config tiny --model.network.rows {SIZE[0]} --model.network.columns {SIZE[1]} "
    "--data.settings.batch_size 4 --trainer.max_epochs 1 --model.network.pooling mean "
    "--model.network.text_config '{hidden_size: 128, num_hidden_layers: 2, "
    "num_attention_heads: 2, intermediate_size: 256, max_position_embeddings: 256}'"
)


def test_interval_of_a_difference_is_student_s_over_pairs() -> None:
    told = paired_difference([0.6, 0.9], [0.5, 0.6])

    # Differences .1 and .3: mean .2, standard error .1, and 12.706 of it with one degree of freedom
    assert told.value == pytest.approx(0.2)
    assert (told.low, told.high) == pytest.approx((0.2 - 1.2706, 0.2 + 1.2706), abs=1e-3)
    assert not told.is_clear
    assert paired_difference([0.6, 0.8, 0.7], [0.5, 0.69, 0.61]).is_clear


def test_one_seed_has_no_interval() -> None:
    told = paired_difference([0.6], [0.5])

    assert math.isnan(told.low)
    assert not told.is_clear


def test_table_has_only_figures_that_every_model_has(tmp_path: Path) -> None:
    runs = {
        "baseline": [{"AUROC": 0.5, "kappa": 0.1}, {"AUROC": 0.6, "kappa": 0.1}],
        "other": [{"AUROC": 0.7}, {"AUROC": math.nan}],
    }
    comparison = Comparison(made_with={"seeds": "2"}, baseline="baseline", figures=runs)

    write_comparison(comparison, tmp_path)

    assert comparison.names() == ["AUROC"]
    assert "| AUROC | 0.550 |" in (tmp_path / "comparison.md").read_text()
    kept = json.loads((tmp_path / "comparison.json").read_text())["figures"]["other"]
    assert kept == [{"AUROC": 0.7}, {"AUROC": None}]


def test_figure_that_no_run_has_is_neither_nan_in_files_nor_in_the_table(tmp_path: Path) -> None:
    def judge(arguments: str, seed: int, folder: Path) -> dict[str, float]:
        return {"AUROC": math.nan, "accuracy": 0.5}

    runs = Runs(ways={"other": "x"}, seeds=2, out=tmp_path, facts={})
    compare_runs(runs, judge, {})
    again = compare_runs(runs, lambda *_: {}, {})

    assert math.isnan(again.figures["other"][0]["AUROC"])
    assert again.figures["other"][0]["accuracy"] == 0.5
    assert "| AUROC | – | – | – |" in (tmp_path / "comparison.md").read_text()
    for file in tmp_path.rglob("*.json"):
        assert "NaN" not in file.read_text()


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Folder with the tables of phantoms, their pictures and a tokenizer."""
    folder = tmp_path / "tables"
    write_phantoms(
        Order(
            family=Family.PLAIN,
            seed=4,
            studies=5,
            out=folder,
            rows=SIZE[0],
            columns=SIZE[1],
        )
    )
    (folder / "vocab.txt").write_text("[UNK]\nmass\n")
    return folder


def order_of(tables: Path, out: Path, way: str) -> ComparisonOrder:
    """Return a comparison on phantoms of which the same are learnt from and judged by."""
    data = ComparisonData(
        reports=tables / "image_text.csv",
        findings=tables / "finding_annotations.csv",
        images=(tables / "png",),
    )
    return ComparisonOrder(data=data, ways={"other": way}, settings="", tokenizer=tables, out=out)


def test_patient_that_is_trained_on_judges_nobody(tables: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"1 patients of .* are in the test part of .*, S4N000004"):
        compare(order_of(tables, tmp_path, ""))


@pytest.mark.parametrize("text", ["other", "baseline=--model.learning_rate 1", "a b=x", "=x"])
def test_way_without_a_name_of_its_own_is_refused(text: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["compare", "--way", text, "--out", str(tmp_path / "out")])

    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_command_compares_on_phantoms_and_trains_no_model_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        *("compare", "--way", "labels=--model.label_weight 0.5", "--out", str(tmp_path)),
        *("--studies", "10", "--rows", str(SIZE[0]), "--columns", str(SIZE[1]), "--seeds", "1"),
        *("--probe-epochs", "1", "--settings", SMALL),
    ]
    first = CliRunner().invoke(app, arguments)
    table = (tmp_path / "comparison.md").read_text()

    monkeypatch.setattr("training.evaluation.comparison.pretrain", None)
    again = CliRunner().invoke(app, arguments)
    other = CliRunner().invoke(app, [*arguments[:-1], f"{SMALL} --model.weight_decay 0.1"])
    next((tmp_path / "phantoms" / "test" / "png").glob("*/*.png")).write_bytes(b"other")
    changed = CliRunner().invoke(app, arguments)

    assert (first.exit_code, again.exit_code, other.exit_code) == (0, 0, 1), first.output
    assert "holds a comparison with other pictures: choose another --out" in changed.output
    assert "| image to report retrieval, zero-shot, recall@1 |" in table
    assert (tmp_path / "comparison.md").read_text() == table
    assert "holds a comparison with other settings: choose another --out" in other.output
    stated = [
        dict(read_manifest(tmp_path / f"{way}-1" / "bundle").beyond_the_paper)
        for way in ("baseline", "labels")
    ]
    assert stated == [{}, {"label_weight": "0.5"}]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models learn from and be judged by the same patients, and train none."""
    monkeypatch.setattr("training.evaluation.comparison._require_apart", lambda data: None)
    monkeypatch.setattr("training.evaluation.comparison._require_ways", lambda order: None)
    monkeypatch.setattr("training.evaluation.comparison._judged", lambda *_: {"AUROC": 0.5})


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("changed", "named"), [("png/*/*.png", "pictures"), ("vocab.txt", "tokenizer")]
)
def test_folder_of_other_contents_under_the_same_names_is_refused(
    tables: Path, tmp_path: Path, changed: str, named: str
) -> None:
    order = order_of(tables, tmp_path / "out", "")
    compare(order)
    compare(order)  # nothing has changed
    with next(tables.glob(changed)).open("ab") as stream:
        stream.write(b"other")

    with pytest.raises(SettingsError, match=f"comparison with other {named}: choose another --out"):
        compare(order)


@pytest.mark.usefixtures("quick")
def test_pictures_are_known_wherever_they_lie(tables: Path, tmp_path: Path) -> None:
    compare(order_of(tables, tmp_path / "out", ""))

    compare(order_of(tables.rename(tmp_path / "moved"), tmp_path / "out", ""))


@pytest.mark.usefixtures("quick")
def test_array_is_known_by_what_its_pictures_held(tables: Path, tmp_path: Path) -> None:
    array = tmp_path / "array"
    pack_pictures(PackOrder(source=tables / "png", out=array, size=SIZE), progress)
    order = order_of(tables, tmp_path / "out", "")
    order = replace(order, data=replace(order.data, images=(array, tables / "png")))
    compare(order)
    names = json.loads((array / "images.json").read_text())
    (array / "images.json").write_text(json.dumps(dict.fromkeys(names, "other")))

    with pytest.raises(SettingsError, match="comparison with other pictures"):
        compare(order)


@pytest.mark.usefixtures("quick")
def test_folder_of_another_way_of_the_same_name_is_refused(tables: Path, tmp_path: Path) -> None:
    compare(order_of(tables, tmp_path, "--model.learning_rate 0.1"))

    with pytest.raises(SettingsError, match="other other: choose another --out"):
        compare(order_of(tables, tmp_path, "--model.learning_rate 0.2"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ("--config {}/all.yaml", "all.yaml"),
        ("--model.network.image_weights={}/bundle", "bundle/model.safetensors"),
        ("--data.settings.image_label '[{{table: {}/all.yaml, images: png}}]'", "all.yaml"),
    ],
)
@pytest.mark.parametrize("is_way", [False, True])
def test_folder_of_other_contents_of_named_files_is_refused(
    tables: Path, tmp_path: Path, arguments: str, changed: str, *, is_way: bool
) -> None:
    (tables / "bundle").mkdir()
    for name in ("all.yaml", "bundle/bundle.json", "bundle/model.safetensors"):
        (tables / name).write_text("first")
    given = arguments.format(tables)
    order = order_of(tables, tmp_path / "out", given if is_way else "")
    order = order if is_way else replace(order, settings=given)
    compare(order)
    compare(order)  # nothing has changed
    (tables / changed).write_text("other")

    named = "other" if is_way else "files of the settings"
    with pytest.raises(SettingsError, match=f"with other {named}: choose another --out"):
        compare(order)
