"""What pretraining reads of an image-text table: back-translations and folds."""

import csv
from pathlib import Path

import pytest

from training.data.breast_records import read_image_text_table, split_by_fold
from training.data.table_reading import read_cells
from training.reports.report_text import Report

TABLE = Path(__file__).parents[1] / "fixtures" / "image_text.csv"


def augmented(cell, target):
    """Return the back-translation of the first row, with another cell."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        row = next(csv.DictReader(stream))
    path = target / "image_text.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        writer.writeheader()
        writer.writerow({**row, "text_augment": cell})
    (record,) = read_image_text_table(path)
    return record.augmented


@pytest.mark.parametrize(
    ("cell", "findings", "impression"),
    [
        ("['a mass. no skin thickening', 'birads 4']", ("a mass", "no skin thickening"),
         ("birads 4",)),
        ("['a mass', '']", ("a mass",), ()),
        ("['', 'birads 4']", (), ("birads 4",)),
        ("['a mass']", ("a mass",), ("a mass",)),
        ("a mass. birads 4", ("a mass", "birads 4"), ("a mass", "birads 4")),
        ("['a', 'b', 'c']", ("a", "b", "c"), ("a", "b", "c")),
    ],
)  # fmt: skip
def test_two_texts_are_those_of_the_two_sections(tmp_path, cell, findings, impression):
    assert augmented(cell, tmp_path) == Report(findings=findings, impression=impression)


@pytest.mark.parametrize("cell", ["", "[]", "['', '']"])
def test_without_a_text_there_is_no_back_translation(tmp_path, cell):
    assert augmented(cell, tmp_path) is None


def test_table_without_folds_gets_some_of_whole_patients(tmp_path):
    path = tmp_path / "image_text.csv"
    read_cells(TABLE).drop(columns="fold").to_csv(path, index=False)

    records = read_image_text_table(path)

    training, validation = split_by_fold(records, 0)
    assert len(training) + len(validation) == len(records)
    assert {record.fold for record in records} == {0, 1, 2, 3}
