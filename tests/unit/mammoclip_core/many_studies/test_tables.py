import csv
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from mammoclip_core.many_studies.rows import COLUMNS
from mammoclip_core.many_studies.tables import TableNameError, check_table, write_table

ROWS = [
    {"study": "1.2", "level": "image", "score": 0.25, "above_threshold": False, "frame": 1},
    {"level": "file", "file": "a.dcm", "reason": "an empty file"},
]


def test_kinds_of_table_hold_the_same_rows(tmp_path: Path) -> None:
    for suffix in ("parquet", "csv", "jsonl"):
        write_table(iter(ROWS), tmp_path / f"t.{suffix}", tmp_path / "part")

    table = parquet.read_table(tmp_path / "t.parquet")
    lines = (tmp_path / "t.jsonl").read_text().splitlines()
    with (tmp_path / "t.csv").open(newline="") as stream:
        cells = list(csv.DictReader(stream))
    assert table.column_names == list(COLUMNS) == list(cells[0])
    assert [
        {name: value for name, value in row.items() if value is not None}
        for row in table.to_pylist()
    ] == ROWS
    assert [json.loads(line) for line in lines] == ROWS
    assert [{k: v for k, v in row.items() if v} for row in cells] == [
        {name: str(value) for name, value in row.items()} for row in ROWS
    ]


def test_table_of_an_unknown_kind_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(TableNameError, match=r"\.parquet, \.csv, \.jsonl"):
        check_table(tmp_path / "results.xlsx")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_name_is_no_formula_of_a_spreadsheet(tmp_path: Path, name: str) -> None:
    write_table(iter([{"finding": name, "score": -0.5}]), tmp_path / "t.csv", tmp_path / "part")

    with (tmp_path / "t.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["finding"], row["score"]) == (f"'{name}", "-0.5")
