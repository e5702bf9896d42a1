"""A Parquet table holds every column that it was written with, those of its index too."""

import pandas as pd
import pytest

from training.data.table_reading import read_cells

pytest.importorskip("pyarrow")

ROWS = {"file": ["a.png", "b.png"], "patient_id": ["1", "2"], "mass": [0, 1]}


def cells_of(frame, folder):
    frame.to_parquet(folder / "own.parquet")
    return read_cells(folder / "own.parquet")


@pytest.mark.parametrize("index", ["file", ["file", "patient_id"]])
def test_column_that_was_made_the_index_is_read(tmp_path, index):
    cells = cells_of(pd.DataFrame(ROWS).set_index(index), tmp_path)

    assert cells[["file", "patient_id", "mass"]].to_numpy().tolist() == [
        ["a.png", "1", "0"],
        ["b.png", "2", "1"],
    ]
    assert cells.index.tolist() == [2, 3]


def test_index_without_a_name_is_no_column(tmp_path):
    frame = pd.DataFrame(ROWS, index=[7, 9])

    assert cells_of(frame, tmp_path).columns.tolist() == list(ROWS)


def test_column_counts_before_an_index_of_its_name(tmp_path):
    frame = pd.DataFrame(ROWS).set_index("file", drop=False)
    frame["file"] = ["c.png", "d.png"]

    assert cells_of(frame, tmp_path)["file"].tolist() == ["c.png", "d.png"]
