"""A table of any set goes through ``prepare --mapping``, and is then read without a mapping."""

import re

import pandas as pd
import pytest
from published_sets import SETS, with_dicom_images
from typer.testing import CliRunner

from training.commands.train import app
from training.data.breast_records import read_image_text_table
from training.data.table_mapping import UNKNOWN, read_mapping
from training.downstream.labelled_images import TEST, read_labelled
from training.preparation.structured_captions import write_captions

SMALL = ("--rows", "190", "--columns", "114", "--processes", "1")
BUILT_IN = ("mass", "suspicious_calcification", "malignancy", "density")


def prepare(source, out, *further, code=0):
    given = ["prepare", str(source), "--out", str(out), *map(str, further), *SMALL]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == code, result.output
    return result.output


def known(data):
    """Return what is known of each image, by the patient, side and view."""
    rows = data.images.sort_values(["patient", "breast", "view"], kind="stable")
    return rows.drop(columns=["image", "part"]).reset_index(drop=True)


@pytest.mark.parametrize("name", SETS)
def test_prepared_table_says_without_a_mapping_what_the_mapped_one_says(name, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    table = with_dicom_images(name, source)
    mapping = read_mapping(name)

    prepare(source, out, "--table", table, "--mapping", name)

    before = read_labelled(table, [source], mapping=mapping)
    after = read_labelled(out / table.name, [out / "png"])
    own = read_mapping(str((out / table.name).with_suffix(".toml")))
    again = read_labelled(out / table.name, [out / "png"], mapping=own)
    columns = [name for name in BUILT_IN if name in before.images]
    pd.testing.assert_frame_equal(known(after)[columns], known(before)[columns])
    pd.testing.assert_frame_equal(known(again), known(before), check_dtype=False)
    assert set(after.images["patient"]) == set(before.images["patient"])
    tests = [
        sorted(data.images["patient"][data.images["part"] == TEST]) for data in (before, after)
    ]
    assert tests[0] == tests[1]
    assert tests[0]


def test_missing_image_is_named_and_the_others_are_made(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    table = with_dicom_images("omi-db", source)
    next(source.rglob("1.2.3.dcm")).unlink()

    given = ("--table", table, "--mapping", "omi-db")
    said = prepare(source, tmp_path / "out", *given, code=1)

    assert re.search(r"1\.2\.3: there is no such file below", said)
    data = read_labelled(tmp_path / "out/summary.csv", [tmp_path / "out/png"])
    assert len(data.images) == 19


def test_several_tables_or_an_output_among_the_images_are_refused(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    table = with_dicom_images("omi-db", source)
    given = ("--table", table, "--mapping", "omi-db")

    assert "is of one --table" in prepare(
        source, tmp_path / "out", *given, "--table", table, code=1
    )
    assert "name another folder" in prepare(source, source / "out", *given, code=1)


def test_unknown_label_stays_unknown(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    table = with_dicom_images("embed", source)

    prepare(source, out, "--table", table, "--mapping", "embed")

    assert UNKNOWN in set(read_labelled(out / table.name, [out / "png"]).images["malignancy"])


def test_captions_are_written_of_a_prepared_table(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    table = with_dicom_images("cbis-ddsm", source)
    prepare(source, out, "--table", table, "--mapping", "cbis-ddsm")
    own = read_mapping(str((out / table.name).with_suffix(".toml")))

    write_captions(out / table.name, own, out / "png", tmp_path / "captions.csv")

    written = (tmp_path / "captions.csv").read_text(encoding="utf-8")
    assert "oval circumscribed" in written
    assert written.count("suspicious calcification") == written.count("in grouped distribution")
    records = read_image_text_table(tmp_path / "captions.csv")
    names = [name for record in records for view in record.images.values() for name in view]
    assert names
    assert all((out / "png" / name).is_file() for name in names)
