"""Rows of files that are read together, and of a second table: none of them says what none says."""

import re

import pandas as pd
import pytest
from published_sets import ROWS, cbis, embed, write

from training.data.mapped_table import read_mapped
from training.data.table_mapping import read_mapping
from training.errors import TableError


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Folder and table of each set."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("embed", "cbis-ddsm")}
    return {
        "embed": (folders["embed"], embed(folders["embed"])),
        "cbis-ddsm": (folders["cbis-ddsm"], cbis(folders["cbis-ddsm"])),
    }


NAMES = ("metadata", "clinical")
FINDINGS = ["mass", "asymmetry", "architectural_distortion", "suspicious_calcification"]


def changed_embed(tables, tmp_path, name, lines):
    """Copy EMBED's two tables, and write the lines of one anew."""
    folder, table = tables["embed"]
    for one in folder.glob("*.csv"):
        (tmp_path / one.name).write_text(one.read_text())
    write(tmp_path / f"EMBED_OpenData_{name}.csv", lines)
    return tmp_path / table.name, folder


def clinical_lines(tables):
    return (tables["embed"][0] / "EMBED_OpenData_clinical.csv").read_text().splitlines()


def test_examination_without_a_finding_row_is_unknown_and_counted(tables, tmp_path):
    lines = [line for line in clinical_lines(tables) if not line.startswith("4,")]
    table, folder = changed_embed(tables, tmp_path, "clinical", lines)

    read = read_mapped(table, read_mapping("embed"), [folder])

    images = read.images.set_index(["patient", "laterality"])
    assert (images.loc["4", [*FINDINGS, "density", "birads"]] == -1).all(axis=None)
    assert (images.loc["5", FINDINGS] >= 0).all(axis=None)
    assert any(note.startswith("2 images have no row in EMBED_OpenD") for note in read.notes)


def test_whole_numbers_join_however_they_are_written(tables, tmp_path):
    lines = [
        re.sub(r"^(\d+),(\d+),", r"\1.0,\2.0,", line) if number % 2 else line
        for number, line in enumerate(clinical_lines(tables))
    ]
    table, folder = changed_embed(tables, tmp_path, "clinical", lines)

    images = [
        read_mapped(one, read_mapping("embed"), [folder]).images
        for one in (tables["embed"][1], table)
    ]

    assert images[0].equals(images[1])


def test_tables_without_a_common_row_are_refused_in_one_line(tables, tmp_path):
    lines = [line.replace(",9", ",8", 1) for line in clinical_lines(tables)]
    table, folder = changed_embed(tables, tmp_path, "clinical", lines)

    with pytest.raises(TableError, match="compare the values of empi_anon and acc_anon") as caught:
        read_mapped(table, read_mapping("embed"), [folder])

    assert "\n" not in str(caught.value)


def test_breast_without_a_row_has_the_density_of_the_examination(tables, tmp_path):
    lines = [line for line in clinical_lines(tables) if not line.startswith("3,93,2,R")]
    table, folder = changed_embed(tables, tmp_path, "clinical", lines)

    images = read_mapped(table, read_mapping("embed"), [folder]).images
    image = images.set_index(["patient", "laterality"]).loc[("3", "R")]

    assert image[["mass", "birads", "malignancy", "density"]].tolist() == [0, -1, -1, 1]


def test_image_of_an_unknown_side_is_not_negative(tables, tmp_path):
    lines = (tables["embed"][1]).read_text().splitlines()
    lines[1] = lines[1].replace(",L,", ",,")
    table, folder = changed_embed(tables, tmp_path, "metadata", lines)

    image = read_mapped(table, read_mapping("embed"), [folder]).images.iloc[0]

    assert image[["mass", "birads", "density"]].tolist() == [-1, -1, 1]


@pytest.mark.parametrize("is_joined", [False, True])
def test_spot_views_are_left_out_however_embed_is_joined(tables, tmp_path, is_joined):
    images = tables["embed"][1].read_text().splitlines()
    spots = ["spot_mag", "1.0", "0.0", *[""] * 18]
    images = [f"{image},{spot}" for image, spot in zip(images, spots, strict=True)]
    table, folder = changed_embed(tables, tmp_path, "metadata", images)
    if is_joined:
        both = (pd.read_csv(tmp_path / f"EMBED_OpenData_{one}.csv", dtype=str) for one in NAMES)
        on = ["empi_anon", "acc_anon"]
        left, right = both
        left.merge(right[right["empi_anon"] != "4"], how="left", on=on).to_csv(table, index=False)
        (tmp_path / "EMBED_OpenData_clinical.csv").unlink()

    read = read_mapped(table, read_mapping("embed"), [folder])

    assert len(read.images) == ROWS - 1
    unknown = read.images[read.images["mass"] == -1]["patient"].tolist()
    assert unknown == (["4", "4"] if is_joined else [])


def test_density_is_read_by_the_name_that_each_file_gives_it(tables):
    folder, table = tables["cbis-ddsm"]
    images = read_mapped(table, read_mapping("cbis-ddsm"), [folder]).images

    rows = zip(images["patient"], images["view"], strict=True)
    numbers = [2 if view == "MLO" else int(patient[2:]) for patient, view in rows]
    assert images["density"].tolist() == [number % 4 for number in numbers]
    assert len(images) == 19


def test_file_that_lacks_a_column_of_the_others_is_named(tables, tmp_path):
    folder, table = tables["cbis-ddsm"]
    for one in folder.glob("*.csv"):
        (tmp_path / one.name).write_text(one.read_text())
    calc = tmp_path / "calc_case_description_test_set.csv"
    calc.write_text(calc.read_text().replace("pathology", "result"))

    with pytest.raises(TableError, match=r"calc_case_description_test_set.csv: .*: pathology;"):
        read_mapped(tmp_path / table.name, read_mapping("cbis-ddsm"), [folder])
