"""Figures of one's own table: what is unknown is no case, and a breast is judged as a whole."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from phantom_bundle import small_bundle
from PIL import Image

from training.data.table_mapping import read_mapping
from training.downstream.cases import Protocol, divide
from training.downstream.labelled_images import read_labelled
from training.downstream.task_figures import subgroups_of
from training.downstream.tasks import own_task
from training.evaluation.bundle_evaluation import EvaluationOrder, evaluate
from training.measures.figures import EvaluationReport

__all__ = ["small_bundle"]

MAPPING = """
several_rows = "highest"
[columns]
image = "file"
patient = "patient"
laterality = "side"
view = "view"
machine = "machine"
split = "split"
[labels.malignancy]
column = "cancer"
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty patients of two images of the left breast, in the test part."""
    rows = []
    for patient in range(40):
        for place, view in enumerate(("CC", "MLO")):
            name = f"{patient}-{view}.png"
            noise = np.random.default_rng([patient, place]).normal(90, 30, (128, 96))
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
            part = "test" if patient >= 4 else "train"
            rows.append(
                {
                    "file": name,
                    "patient": f"p{patient}",
                    "side": "L",
                    "view": view,
                    "machine": "M",
                    "split": part,
                    "cancer": str(patient % 2),
                }
            )
    pd.DataFrame(rows).to_csv(tmp_path / "own.csv", index=False)
    (tmp_path / "map.toml").write_text(MAPPING)
    return tmp_path / "own.csv"


def judged(table: Path, bundle: Path, out: Path) -> EvaluationReport:
    return evaluate(
        EvaluationOrder(
            bundle=bundle,
            table=table,
            mapping=read_mapping(str(table.with_name("map.toml"))),
            images=(table.parent,),
            out=out,
            only=("zero-shot",),
            repeats=20,
        )
    )


def test_further_row_of_an_image_that_says_nothing_changes_no_figure(
    table: Path, small_bundle: Path, tmp_path: Path
) -> None:
    before = judged(table, small_bundle, tmp_path / "before")
    rows = pd.read_csv(table, dtype=str)
    silent = rows[rows["cancer"] == "0"].assign(cancer="")
    pd.concat([rows, silent]).to_csv(table, index=False)

    after = judged(table, small_bundle, tmp_path / "after")

    assert before.figures
    assert any(figure.as_published is not None for figure in before.figures)
    for figure, other in zip(before.figures, after.figures, strict=True):
        for one, again in (
            (figure.as_published, other.as_published),
            (figure.honest, other.honest),
        ):
            assert (one is None) == (again is None)
            if one is not None and again is not None:
                assert again.value == pytest.approx(one.value, abs=1e-6)


def test_part_of_the_images_is_judged_by_breast_as_all_of_them(table: Path) -> None:
    data = read_labelled(
        table, [table.parent], mapping=read_mapping(str(table.with_name("map.toml")))
    )
    task = own_task("malignancy", "own.csv", ())
    test = divide(data, task, Protocol.HONEST).test
    scores = np.random.default_rng(0).random((len(test), 1))
    whole = test.joined(scores)

    rows = subgroups_of(data, task, "zero-shot", cases=test, scores=scores, repeats=20)
    found = {(row.by, row.value): row.estimate for row in rows}

    assert len(whole.labels) == 36
    assert found["machine", "M"].value == pytest.approx(
        task.judge(whole.labels, whole.scores), abs=1e-9
    )
    assert found["machine", "M"].value != pytest.approx(task.judge(test.labels, scores), abs=1e-9)
    of_view = data.images["view"].to_numpy()[test.images] == "CC"
    assert found["view", "CC"].value == pytest.approx(
        task.judge(test.labels[of_view], scores[of_view]), abs=1e-9
    )
