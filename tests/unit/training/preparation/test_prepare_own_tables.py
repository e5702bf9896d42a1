"""``mammoclip-train prepare`` with a table of one's own: what it names, and what comes of it."""

import pytest
from typer.testing import CliRunner

from training.commands.train import app
from training.downstream.cases import Protocol, divide
from training.downstream.labelled_images import read_labelled
from training.downstream.tasks import MASS

SMALL = ("--rows", "190", "--columns", "114")


def prepare(source, out, *further, code=0):
    result = CliRunner().invoke(app, ["prepare", str(source), "--out", str(out), *further])
    assert result.exit_code == code, result.output
    return result.output


def test_images_of_own_labels_are_found_by_uid(tmp_path, mammogram, breast, cells):
    first = mammogram(tmp_path / "in/one.dcm", breast)
    second = mammogram(tmp_path / "in/two.dcm", breast[::-1], ImageLaterality="R")
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "sop_instance_uid,cancer,view\n"
        f"{second.SOPInstanceUID},1,\n{first.SOPInstanceUID},0,CC\n1.2.3.99,1,CC\n",
        encoding="utf-8",
    )

    said = prepare(tmp_path / "in", tmp_path / "out", "--table", str(labels), *SMALL, code=1)

    rows = cells(tmp_path / "out/labels.csv")
    assert rows["cancer"].tolist() == ["1", "0"]
    assert rows["laterality"].tolist() == ["R", "L"]
    assert rows["view"].tolist() == ["MLO", "CC"]
    assert len(set(rows["patient_id"])) == 1
    assert "1.2.3.99: no file is named so" in said


def test_own_table_may_name_files(tmp_path, mammogram, breast, cells):
    mammogram(tmp_path / "in/a/1.dcm", breast)
    mammogram(tmp_path / "in/b/1.dcm", breast[::-1])
    labels = tmp_path / "labels.csv"
    labels.write_text("file,patient_id\nb/1.dcm,P2\na/1.dcm,P1\n", encoding="utf-8")

    prepare(tmp_path / "in", tmp_path / "out", "--table", str(labels), *SMALL)

    images = cells(tmp_path / "out/labels.csv")["image"]
    assert [image.split("/")[0] for image in images] == ["P2", "P1"]


def test_own_table_is_read_by_the_next_command_as_it_was_written(tmp_path, mammogram, breast):
    lines = ["image_id,mass"]
    for patient in range(8):
        name = f"P{patient}"
        mammogram(tmp_path / f"in/{name}.dcm", breast, PatientID=name)
        lines.append(f"{name},{patient % 2}")
    table = tmp_path / "own.csv"
    table.write_text("\n".join(lines), encoding="utf-8")

    prepare(tmp_path / "in", tmp_path / "out", "--table", str(table), *SMALL)

    data = read_labelled(tmp_path / "out/own.csv", [tmp_path / "out/png"])
    division = divide(data, MASS, Protocol.HONEST)
    assert len(division.test) == 2
    assert len(division.training) + len(division.choice) == 6
    assert len(division.choice) > 0


def test_ids_that_an_export_pads_are_those_of_one_patient(tmp_path, mammogram, breast, cells):
    lines = ["image_id,patient_id,laterality,mass"]
    for number in range(8):
        name = f"I{number}"
        mammogram(tmp_path / f"in/{name}.dcm", breast, SOPInstanceUID=f"1.2.3.{number}")
        padded = f"P{number // 2}" + "   " * (number % 2)
        lines.append(f"{name} ,{padded},L{' ' * (number % 3)},{number % 2}")
    table = tmp_path / "own.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")

    prepare(tmp_path / "in", tmp_path / "out", "--table", str(table), *SMALL)

    rows = cells(tmp_path / "out/own.csv")
    assert sorted(set(rows["patient_id"])) == ["P0", "P1", "P2", "P3"]
    assert rows["fold"].str.isdecimal().all()
    assert rows.groupby("patient_id")["fold"].nunique().tolist() == [1, 1, 1, 1]
    data = read_labelled(tmp_path / "out/own.csv", [tmp_path / "out/png"])
    assert data.images["breast"].nunique() == 4


@pytest.mark.parametrize("size", ["10,20", "1.5,", "cm,cm"])
def test_height_and_width_of_an_own_table_are_columns_as_any(
    tmp_path, mammogram, breast, cells, size
):
    mammogram(tmp_path / "in/I1.dcm", breast)
    table = tmp_path / "own.csv"
    table.write_text(f"image_id,mass,height,width\nI1,1,{size}\n", encoding="utf-8")

    prepare(tmp_path / "in", tmp_path / "out", "--table", str(table), *SMALL)

    (row,) = cells(tmp_path / "out/own.csv").to_dict("records")
    assert f"{row['height']},{row['width']}" == size


def test_linked_folders_of_images_are_prepared(tmp_path, mammogram, breast, cells):
    mammogram(tmp_path / "disk/P1/I1.dcm", breast, SOPInstanceUID="1.2.3.1")
    mammogram(tmp_path / "disk/I2.dcm", breast, SOPInstanceUID="1.2.3.2")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/P1").symlink_to(tmp_path / "disk/P1")
    (tmp_path / "in/I2.dcm").symlink_to(tmp_path / "disk/I2.dcm")
    table = tmp_path / "own.csv"
    table.write_text("file,mass\nP1/I1.dcm,1\nI2.dcm,0\n", encoding="utf-8")

    prepare(tmp_path / "in", tmp_path / "whole", *SMALL)
    prepare(tmp_path / "in", tmp_path / "out", "--table", str(table), *SMALL)

    assert sorted(cells(tmp_path / "whole/pictures.csv")["file"]) == ["I2.dcm", "P1/I1.dcm"]
    (tmp_path / "linked").symlink_to(tmp_path / "out")
    data = read_labelled(tmp_path / "linked/own.csv", [tmp_path / "linked/png"])
    assert data.images["mass"].tolist() == [1, 0]
