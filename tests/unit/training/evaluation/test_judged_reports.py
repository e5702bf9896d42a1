"""Reports that retrieval is judged on: those that pretraining holds out, in any form of table."""

import cv2
import numpy as np
import pandas as pd
import pytest
from small_bundles import SIZE, small_random_bundle
from typer.testing import CliRunner

from training.commands.train import app
from training.data.breast_records import read_image_text_table
from training.errors import TableError
from training.evaluation.judged_reports import read_judged_reports

PATIENTS = [f"P{number:02d}" for number in range(12)]


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, SIZE, dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def table(tmp_path):
    """A table with no columns but those that are needed, and pictures that share their names."""
    rows = []
    for number, patient in enumerate(PATIENTS):
        for view in ("CC", "MLO"):
            picture(tmp_path / "png" / patient / "L" / f"{view}.png", number)
        rows.append(
            {
                "patient_id": patient,
                "laterality": "L",
                "CC": f"{patient}/L/CC.png",
                "MLO": f"['{patient}/L/MLO.png']",
                "findings": f"a mass of {number + 2} millimetres. no calcification",
                "impressions": "bi rads category 4",
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "reports.csv", index=False)
    return tmp_path / "reports.csv"


def with_folds(table, folds):
    pd.read_csv(table).assign(fold=folds).to_csv(table, index=False)


def test_reports_of_a_table_without_folds_are_those_that_pretraining_holds_out(table):
    judged = read_judged_reports(table, [table.parent / "png"])

    held_out = {one.patient_id for one in read_image_text_table(table) if one.fold == 0}
    assert set(judged.patients) == held_out
    assert len(held_out) == 3
    assert len(judged.texts) == 3
    for file, place, patient in zip(judged.files, judged.own, judged.patients, strict=True):
        assert file.parent.parent.name == patient
        number = PATIENTS.index(patient)
        expected = f"a mass of {number + 2} millimetres. no calcification bi rads category 4"
        assert judged.texts[place] == expected


def test_folds_of_the_table_say_what_is_judged(table):
    with_folds(table, [0] * 5 + [1] * 7)

    judged = read_judged_reports(table, [table.parent / "png"])

    assert set(judged.patients) == set(PATIENTS[:5])


def test_table_without_fold_0_is_refused_in_a_line(table, tmp_path):
    with_folds(table, [number % 5 + 1 for number in range(12)])
    bundle = small_random_bundle(tmp_path / "small")

    with pytest.raises(TableError, match="the folds are 1, 2, 3, 4, 5: give fold 0 to"):
        read_judged_reports(table, [table.parent / "png"])
    done = CliRunner().invoke(
        app,
        [
            *("evaluate", "--bundle", str(bundle), "--reports", str(table)),
            *("--images", str(tmp_path / "png"), "--out", str(tmp_path / "out"), "--quick"),
        ],
    )
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "the folds are 1, 2, 3, 4, 5" in done.output


def test_evaluation_judges_such_a_table(table, tmp_path):
    bundle = small_random_bundle(tmp_path / "small")

    done = CliRunner().invoke(
        app,
        [
            *("evaluate", "--bundle", str(bundle), "--reports", str(table), "--repeats", "20"),
            *("--images", str(tmp_path / "png"), "--out", str(tmp_path / "out")),
        ],
    )

    assert done.exit_code == 0, done.output
    figures = (tmp_path / "out" / "evaluation.md").read_text()
    assert "among 3 distinct reports" in figures


def test_skipped_pictures_are_left_out_and_all_of_them_refused(table):
    folder = table.parent / "png"
    (gone, *_) = read_judged_reports(table, [folder]).files
    gone.unlink()

    with pytest.raises(TableError, match=f"{gone.parent.parent.name}/L/{gone.stem}"):
        read_judged_reports(table, [folder])
    said = []
    left = read_judged_reports(table, [folder], skip_unreadable=True, say=said.append)
    assert len(left.files) == 5
    assert "1 of 6 pictures are left out" in said[0]

    for file in left.files:
        file.unlink()
    with pytest.raises(TableError, match="no picture of a report of fold 0 can be used"):
        read_judged_reports(table, [folder], skip_unreadable=True)
