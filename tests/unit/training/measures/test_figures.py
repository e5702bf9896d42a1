import json
import math

import cv2
import numpy as np

from training.downstream.task_figures import Curve
from training.evaluation.plots import write_plots
from training.measures.figures import EvaluationReport, Figure, Subgroup
from training.measures.intervals import Estimate
from training.measures.published_figures import EVIDENCE, MODELS, PUBLISHED, published

ESTIMATE = Estimate(value=0.75, low=0.7, high=0.8, cases=120)
UNKNOWN = Estimate(value=math.nan, low=math.nan, high=math.nan, cases=0)


def _report():
    return EvaluationReport(
        made_with={"bundle": "tiny", "preset": "paper"},
        figures=[
            Figure(
                task="VinDr mass",
                setting="zero-shot",
                measure="AUROC",
                as_published=ESTIMATE,
                honest=UNKNOWN,
            ),
            Figure(task="phantoms", setting="zero-shot | mass", measure="AUROC", honest=ESTIMATE),
        ],
        subgroups=[
            Subgroup(task="VinDr mass", by="view", value="CC", measure="AUROC", estimate=ESTIMATE)
        ],
    )


def test_published_figures_stand_beside_ours_with_their_evidence(tmp_path):
    _report().write(tmp_path)
    text = (tmp_path / "evaluation.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| VinDr mass | zero-shot"))
    assert "| 0.48 [D] | 0.76 [D] | 0.750 (0.700–0.800) | – | 0 |" in row
    assert EVIDENCE["D"] in text
    assert "zero-shot \\| mass" in text


def test_every_table_row_has_as_many_cells_as_its_head():
    text = _report().as_markdown().replace("\\|", "")
    for block in text.split("\n\n"):
        rows = [line.count("|") for line in block.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1


def test_json_has_null_for_what_cannot_be_computed(tmp_path):
    _report().write(tmp_path)
    figures = json.loads((tmp_path / "evaluation.json").read_text())["figures"]
    assert figures[0]["published"]["B5+V"] == 0.76
    assert figures[0]["honest"]["value"] is None
    assert figures[1]["published"] is None


def test_published_table_is_whole():
    assert len({(row.task, row.setting) for row in PUBLISHED}) == len(PUBLISHED) == 32
    assert all(len(row.by_model) == len(MODELS) and row.evidence in EVIDENCE for row in PUBLISHED)
    assert published("VinDr mass", "no such setting", "AUROC") is None


def test_a_published_figure_stands_beside_its_own_measure_alone():
    assert published("VinDr mass", "zero-shot", "AUROC").by_model[2] == 0.76
    assert published("VinDr mass", "zero-shot", "average precision") is None


def test_other_models_stand_in_a_column_of_their_own():
    figures = [
        Figure(task="t", setting="s", measure="AUROC", honest=ESTIMATE, model=name)
        for name in ("", "random")
    ]
    rows = EvaluationReport(made_with={}, figures=figures).as_markdown().splitlines()
    assert [row.split("|")[-2].strip() for row in rows if row.startswith("| t ")] == [
        "the bundle",
        "random",
    ]


def curve(labels, scores, probabilities=None):
    return Curve(
        labels=labels,
        scores=scores,
        probabilities=scores if probabilities is None else probabilities,
    )


def test_calibration_that_says_the_same_of_all_leaves_the_ranking(tmp_path):
    labels, scores = np.array([True, False] * 20), np.linspace(0, 1, 40)

    for name, probabilities in (("plain", scores), ("same", np.full(40, 0.5))):
        write_plots({"mass": curve(labels, scores, probabilities)}, tmp_path / name)

    def picture(name, kind):
        return (tmp_path / name / f"{kind}.png").read_bytes()

    assert picture("plain", "roc") == picture("same", "roc")
    assert picture("plain", "precision-recall") == picture("same", "precision-recall")
    assert picture("plain", "calibration") != picture("same", "calibration")


def test_plots_are_pictures_and_leave_out_what_has_one_class(tmp_path):
    generator = np.random.default_rng(0)
    labels = generator.random(200) < 0.4
    curves = {
        "mass": curve(labels, generator.random(200) * 0.5 + labels * 0.4),
        "one": curve(np.zeros(200, bool), generator.random(200)),
    }
    written = write_plots(curves, tmp_path / "plots")
    assert [path.name for path in written] == ["roc.png", "precision-recall.png", "calibration.png"]
    for path in written:
        picture = cv2.imread(str(path))
        assert picture.shape[0] > 400
        assert picture.std() > 10
    assert write_plots({"one": curves["one"]}, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
