"""From each kind of table that docs/researchers.md names, by commands alone, to a judged head."""

import csv
import json
from pathlib import Path

import pytest
from published_sets import SETS, with_dicom_images
from small_bundles import small_random_bundle
from typer.testing import CliRunner

from training.commands.train import app
from training.phantoms.writing import Order, write_phantoms

KNOWN = ("finding_annotations.csv", "breast-level_annotations.csv", "rsna_train.csv", "own.csv")
"""Tables that phantoms come with; the last is written here."""


def run(*arguments: object) -> None:
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, f"{arguments[0]}: {done.output[-2000:]}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "small"
    small_random_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared phantoms, with all their tables."""
    folder = tmp_path_factory.mktemp("tables")
    phantoms = folder / "phantoms"
    write_phantoms(Order(seed=7, studies=12, out=phantoms, rows=190, columns=114, with_dicom=True))
    with (phantoms / "finding_annotations.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (phantoms / "own.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["image_id", "patient_id", "laterality", "view", "mass", "split"])
        for name in dict.fromkeys(row["image_id"] for row in rows):
            own = [row for row in rows if row["image_id"] == name]
            has = any("Mass" in row["finding_categories"] for row in own)
            first = own[0]
            facts = (first["study_id"], first["laterality"], first["view_position"])
            writer.writerow([name, *facts, str(has).upper(), first["split"]])
    tables = [word for name in KNOWN for word in ("--table", phantoms / name)]
    run("prepare", phantoms / "dicom", "--out", folder / "prepared", *tables,
        "--rows", 190, "--columns", 114)  # fmt: skip
    return folder / "prepared"


def judged_tasks(out: Path) -> set[str]:
    figures = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))["figures"]
    return {one["task"] for one in figures if one["honest"] is not None}


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "kind",
    [
        (KNOWN[0], "mass", (), "--vindr", "VinDr mass"),
        (KNOWN[1], "density", ("--mapping", "vindr"), "--table", f"density of {KNOWN[1]}"),
        (KNOWN[2], "cancer", (), "--rsna", "RSNA cancer"),
        (KNOWN[3], "mass", (), "--table", f"mass of {KNOWN[3]}"),
    ],
    ids=KNOWN,
)
def test_table_of_prepared_pictures_goes_to_a_judged_head(
    kind: tuple[str, str, tuple[str, ...], str, str], prepared: Path, bundle: Path, tmp_path: Path
) -> None:
    table, task, further, named, judged = kind
    images = ("--images", prepared / "png")

    run("probe", "--bundle", bundle, "--task", task, "--table", prepared / table, *further,
        *images, "--epochs", 1, "--out", tmp_path / "probe")  # fmt: skip
    run("evaluate", "--bundle", bundle, named, prepared / table, *further, *images,
        "--quick", "--only", "probe", "--repeats", 20, "--out", tmp_path / "judged")  # fmt: skip

    assert (tmp_path / "probe" / "head.pth").is_file()
    assert judged in judged_tasks(tmp_path / "judged")


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SETS)
def test_table_of_a_named_set_goes_to_a_judged_head(
    name: str, bundle: Path, tmp_path: Path
) -> None:
    writer, task, _ = SETS[name]
    (tmp_path / name).mkdir()
    table = writer(tmp_path / name)
    given = ("--table", table, "--mapping", name, "--images", tmp_path / name)

    run("probe", "--bundle", bundle, "--task", task, *given,
        "--epochs", 1, "--out", tmp_path / "probe")  # fmt: skip
    run("evaluate", "--bundle", bundle, *given, "--quick", "--only", "probe",
        "--repeats", 20, "--out", tmp_path / "judged")  # fmt: skip

    assert f"{task} of {table.name}" in judged_tasks(tmp_path / "judged")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_prepared_table_of_a_named_set_needs_its_mapping_for_labels_of_its_own_alone(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "cbis").mkdir()
    table = with_dicom_images("cbis-ddsm", tmp_path / "cbis")
    out = tmp_path / "prepared"
    run("prepare", tmp_path / "cbis", "--out", out, "--table", table, "--mapping", "cbis-ddsm",
        "--rows", 190, "--columns", 114)  # fmt: skip
    given = ("--table", out / table.name, "--images", out / "png")
    own = ("--mapping", (out / table.name).with_suffix(".toml"))

    for task, further in (("mass", ()), ("birads", own)):
        run("probe", "--bundle", bundle, "--task", task, *given, *further,
            "--epochs", 1, "--out", tmp_path / task)  # fmt: skip
        run("evaluate", "--bundle", bundle, *given, *further, "--quick", "--only", "probe",
            "--repeats", 20, "--out", tmp_path / f"{task} judged")  # fmt: skip
        assert f"{task} of {table.name}" in judged_tasks(tmp_path / f"{task} judged")
