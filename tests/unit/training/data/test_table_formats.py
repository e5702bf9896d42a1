"""The published tables: read as they are, and refused with every bad row named."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from training.data.table_formats import (
    IMAGE_TEXT,
    PLAIN,
    REPORTS,
    RSNA,
    VINDR_BREASTS,
    VINDR_FINDINGS,
    image_labels,
    recognised,
)
from training.data.table_reading import read_table
from training.errors import TableError

FIXTURES = Path(__file__).parents[1] / "fixtures"
TABLES = {
    "image_text": IMAGE_TEXT,
    "finding_annotations": VINDR_FINDINGS,
    "finding_annotations_resized": VINDR_FINDINGS,
    "breast-level_annotations": VINDR_BREASTS,
    "rsna_train": RSNA,
    "rsna_train_folds": RSNA,
    "reports": REPORTS,
    "own_labels": PLAIN,
}


def changed(name, target, changes, *, repeated=(), differently=None):
    """Copy a fixture with some cells changed, {(row, column): text}, and some rows repeated."""
    with (FIXTURES / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for (row, column), text in changes.items():
        rows[row][column] = text
    rows += [{**rows[row], **(differently or {})} for row in repeated]
    path = target / f"{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", TABLES)
def test_table_with_the_published_columns_is_read(name):
    assert len(read_table(FIXTURES / f"{name}.csv", TABLES[name])) == 20


@pytest.mark.parametrize("name", TABLES)
def test_format_is_recognised_by_its_columns(name):
    assert recognised(FIXTURES / f"{name}.csv") is TABLES[name]


def test_every_bad_row_is_named_at_once(tmp_path):
    path = changed(
        "rsna_train",
        tmp_path,
        {(0, "laterality"): "X", (3, "cancer"): "yes", (7, "age"): "inf", (9, "patient_id"): ""},
        repeated=[5],
        differently={"cancer": "1"},
    )

    with pytest.raises(TableError) as caught:
        read_table(path, RSNA)

    message = str(caught.value)
    assert "5 faults" in message
    for line in ("line 2, laterality", "line 5, cancer", "line 9, age", "line 11, patient_id"):
        assert line in message
    assert "line 22: image_id" in message


def test_same_finding_twice_is_meant(tmp_path):
    path = changed("finding_annotations", tmp_path, {}, repeated=[0, 0])

    assert len(read_table(path, VINDR_FINDINGS)) == 22


def test_image_repeated_to_the_letter_is_read_once(tmp_path):
    path = changed("rsna_train", tmp_path, {}, repeated=[3, 0, 3])

    assert len(read_table(path, RSNA)) == 20


def test_table_without_a_row_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("image_id\n", encoding="utf-8")

    with pytest.raises(TableError, match="the table is empty"):
        read_table(path, PLAIN)


def test_finding_counts_where_labels_of_an_image_contradict():
    findings = read_table(FIXTURES / "finding_annotations.csv", VINDR_FINDINGS)
    contradicting = findings.groupby("image_id")["finding_categories"].agg(set)
    both = [name for name, kinds in contradicting.items() if {("No Finding",), ("Mass",)} <= kinds]
    assert both, "the fixture holds such an image"

    labels = image_labels(findings).set_index("image_id")

    assert labels.index.is_unique
    assert labels.loc[both, "Mass"].tolist() == [1] * len(both)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({(0, "xmin"): "900", (0, "xmax"): "100"}, "line 2: the box"),
        ({(0, "ymin"): ""}, "line 2: a box needs all of"),
        ({(4, "finding_categories"): "__import__('os')"}, "line 6, finding_categories"),
        ({(4, "breast_density"): "DENSITY E"}, "line 6, breast_density"),
        ({(2, "height"): "-5"}, "line 4, height: '-5' is not positive"),
    ],
)
def test_bad_cell_is_refused_with_its_line(tmp_path, changes, said):
    with pytest.raises(TableError, match=said.replace("(", r"\(")):
        read_table(changed("finding_annotations", tmp_path, changes), VINDR_FINDINGS)


@pytest.mark.parametrize(
    ("layout", "columns", "said"),
    [
        (PLAIN, "patient_id,label", "file or image_id or sop_instance_uid"),
        (REPORTS, "patient_id,image_id", "FINDINGS, IMPRESSION"),
    ],
)
def test_missing_columns_are_named(tmp_path, layout, columns, said):
    path = tmp_path / "table.csv"
    path.write_text(f"{columns}\na,b\n", encoding="utf-8")

    with pytest.raises(TableError, match=f"columns are missing: {said}"):
        read_table(path, layout)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"a\n'])
def test_file_that_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)

    with pytest.raises(TableError):
        read_table(path, PLAIN)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_dialects_of_spreadsheets_are_read(tmp_path, encoding, delimiter):
    with (FIXTURES / "rsna_train.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    with (tmp_path / "train.csv").open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)

    as_published = read_table(FIXTURES / "rsna_train.csv", RSNA)

    pd.testing.assert_frame_equal(read_table(tmp_path / "train.csv", RSNA), as_published)


OWN = "image_id,patient_id,mass\na.png,p0,0\nb.png,p1,1\n"


@pytest.mark.parametrize(
    "content",
    [
        OWN.replace("0\n", "0,\n").replace("1\n", "1,\n"),
        OWN.replace("\n", ",\n"),
        OWN.replace(",", ", "),
        OWN.replace(",", " , "),
        "sep=;\n" + OWN.replace(",", ";"),
        "\n\n" + OWN.replace("\n", "\n\n") + ",,\n",
    ],
)
def test_traces_of_a_spreadsheet_are_read_away(tmp_path, content):
    (tmp_path / "own.csv").write_text(content, encoding="utf-8")

    cells = read_table(tmp_path / "own.csv", PLAIN)[["image_id", "patient_id", "mass"]]

    assert [[cell.strip() for cell in row] for row in cells.to_numpy()] == [
        ["a.png", "p0", "0"],
        ["b.png", "p1", "1"],
    ]


def test_row_of_more_cells_than_the_header_is_named(tmp_path):
    (tmp_path / "own.csv").write_text(OWN.replace("p1,", "p1,x,"), encoding="utf-8")

    with pytest.raises(TableError, match="line 3 has 4 cells, the header 3"):
        read_table(tmp_path / "own.csv", PLAIN)


def test_table_in_another_encoding_says_how_to_save_it(tmp_path):
    (tmp_path / "own.csv").write_text(OWN.replace("p1", "Müller"), encoding="cp1252")

    with pytest.raises(TableError, match="save it as UTF-8"):
        read_table(tmp_path / "own.csv", PLAIN)


def test_row_is_named_by_its_line_where_cells_hold_several(tmp_path):
    (tmp_path / "reports.csv").write_text(
        "patient_id,image_id,FINDINGS,IMPRESSION,laterality\n"
        'p0,a,"One.\nTwo.\n\nThree.",None.,L\n'
        "p1,b,One.,None.,X\n"
        "\n"
        "p2,,One.,None.,L\n",
        encoding="utf-8",
    )

    with pytest.raises(TableError) as caught:
        read_table(tmp_path / "reports.csv", REPORTS)

    assert "line 6, laterality: 'X'" in str(caught.value)
    assert "line 8, image_id: is empty" in str(caught.value)


def test_flags_in_capitals_are_read(tmp_path):
    path = changed("rsna_train", tmp_path, {(0, "cancer"): "TRUE", (1, "cancer"): "FALSE"})

    assert read_table(path, RSNA)["cancer"].tolist()[:2] == [1, 0]


def test_parquet_is_read_as_its_csv_would_be(tmp_path):
    pd.read_csv(FIXTURES / "rsna_train.csv").to_parquet(tmp_path / "train.parquet")

    read = read_table(tmp_path / "train.parquet", RSNA)

    assert (
        read["image_id"].tolist()
        == read_table(FIXTURES / "rsna_train.csv", RSNA)["image_id"].tolist()
    )
