"""Phantoms: repeatable, valid, true to their tables, and no easier than they claim."""

import csv
import itertools
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mammoclip_core.images.decoding.dicom_file import read_pixels
from training.data.table_formats import (
    IMAGE_TEXT,
    RSNA,
    VINDR_BREASTS,
    VINDR_FINDINGS,
    image_labels,
)
from training.data.table_reading import read_table
from training.phantoms.calcifications import draw_cluster
from training.phantoms.family import Family
from training.phantoms.patient import draw_patient
from training.phantoms.view import VIEW_POSITIONS, draw_view
from training.phantoms.writing import Order, write_phantoms
from training.reports.report_synthesis import Attribute

SHIPPED = Path(__file__).parents[3] / "deploy/demo/studies/phantom"
SHIPPED_SEED, SHIPPED_NUMBER = 7, 34
SMALL = {"rows": 190, "columns": 114}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms")
    write_phantoms(Order(family=Family.PLAIN, seed=3, studies=4, out=out, with_dicom=True, **SMALL))
    return out


@pytest.fixture(scope="module")
def patients():
    return [draw_patient(11, number) for number in range(600)]


def masses():
    """Yield some patients with a mass and nothing else in one breast, and that breast."""
    for number in itertools.count():
        patient = draw_patient(5, number)
        for breast in patient.breasts:
            kinds = [lesion.observation.attribute for lesion in breast.lesions]
            if kinds == [Attribute.MASS]:
                yield patient, breast


def content(folder, pattern):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob(pattern)}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_same_seed_gives_the_same_bytes(written, tmp_path):
    write_phantoms(
        Order(family=Family.PLAIN, seed=3, studies=4, out=tmp_path, with_dicom=True, **SMALL)
    )

    assert content(tmp_path, "*.*") == content(written, "*.*")


def test_study_does_not_depend_on_its_company_nor_on_the_number_of_processes(written, tmp_path):
    write_phantoms(
        Order(family=Family.PLAIN, seed=3, first=1, studies=2, out=tmp_path, **SMALL), processes=2
    )

    alone, together = content(tmp_path, "*.png"), content(written, "*.png")

    assert {path.parts[1] for path in alone} == {"S3N000001", "S3N000002"}
    assert all(together[path] == value for path, value in alone.items())


def test_other_seed_gives_another_study(written, tmp_path):
    write_phantoms(Order(family=Family.PLAIN, seed=4, studies=1, out=tmp_path, **SMALL))

    assert not set(content(tmp_path, "*.png").values()) & set(content(written, "*.png").values())


def test_half_of_the_breasts_are_clean(patients):
    breasts = [breast for patient in patients for breast in patient.breasts]

    clean = np.mean([not breast.lesions for breast in breasts])

    assert clean == pytest.approx(0.5, abs=3 * 0.5 / len(breasts) ** 0.5)


def test_masses_are_of_the_stated_sizes_and_contrasts(patients):
    lesions = [
        lesion
        for patient in patients
        for breast in patient.breasts
        for lesion in breast.lesions
        if lesion.observation.attribute == Attribute.MASS
    ]

    assert all(6.0 <= lesion.size_mm <= 30.0 for lesion in lesions)
    assert all(0.0 < lesion.contrast <= 1.5 for lesion in lesions)


@pytest.mark.parametrize("view_position", VIEW_POSITIONS)
def test_drawn_mass_adds_no_more_than_one_and_a_half_deviations(view_position):
    for patient, breast in itertools.islice(masses(), 3):
        view = draw_view(patient, breast, view_position)
        healthy = draw_view(patient, replace(breast, lesions=()), view_position)

        added = (view.pixels.astype(int) - healthy.pixels).max()

        assert 0 < added <= 1.5 * view.lesions[0].texture + 1


def test_drawn_mass_is_as_long_as_the_table_says():
    for patient, breast in itertools.islice(masses(), 3):
        view = draw_view(patient, breast, "CC")
        outline, _ = cv2.findContours(
            view.lesions[0].mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        points = np.concatenate(outline)[:, 0].astype(float)
        longest = np.hypot(*(points[:, None] - points[None]).T).max() * patient.spacing_mm

        assert longest == pytest.approx(breast.lesions[0].size_mm, abs=4 * patient.spacing_mm)


@pytest.mark.parametrize("seed", range(8))
def test_cluster_has_no_more_than_twenty_specks_of_at_most_a_millimetre(seed):
    patch = draw_cluster(
        "coarse heterogeneous",
        "diffuse",
        size_mm=80.0,
        spacing_mm=0.1,
        column=500.0,
        row=700.0,
        seed=seed,
        clearance=np.full((760, 456), 50.0, np.float32),
        heading=0.0,
        generator=np.random.default_rng(seed),
    )

    count, _, boxes, _ = cv2.connectedComponentsWithStats((patch.signal > 0).astype(np.uint8))
    sides = boxes[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)

    assert 4 <= count - 1 <= 20
    # The rim of a speck covers a part of a pixel on each side, and two specks may touch.
    assert np.median(sides) * 0.1 <= 1.0 + 2 * 0.1


def test_box_of_the_truth_is_the_extent_of_the_mask(written):
    rows = rows_of(written / "truth.csv")
    assert rows
    for row in rows:
        mask = cv2.imread(str(written / "masks" / row["mask"]), cv2.IMREAD_GRAYSCALE)
        down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))

        box = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]

        assert box == [across[0], down[0], across[-1] + 1, down[-1] + 1]


def test_tables_are_of_the_published_formats(written):
    findings = read_table(written / "finding_annotations.csv", VINDR_FINDINGS)
    breasts = read_table(written / "breast-level_annotations.csv", VINDR_BREASTS)
    screening = read_table(written / "rsna_train.csv", RSNA)
    reports = read_table(written / "image_text.csv", IMAGE_TEXT)

    assert len(breasts) == len(screening) == 16
    assert len(reports) == 8
    assert set(findings["image_id"]) == set(breasts["image_id"])


def test_image_labels_are_those_of_the_findings(written):
    labels = image_labels(read_table(written / "finding_annotations.csv", VINDR_FINDINGS))

    own = {row["image_id"]: row for row in rows_of(written / "images.csv")}

    for row in labels.to_dict("records"):
        for attribute in Attribute:
            name = attribute.value.replace(" ", "_")
            assert row[name] == int(own[row["image_id"]][name])


def test_picture_and_dicom_show_the_same(written):
    stored = read_pixels(written / "dicom/S3N000000/S3N000000-LCC.dcm").values.astype(float)
    picture = cv2.imread(str(written / "png/S3N000000/S3N000000-LCC.png"), cv2.IMREAD_GRAYSCALE)

    assert np.abs(stored / stored.max() * 255 - picture).max() < 1.001


@pytest.mark.parametrize(("laterality", "wall"), [("L", 0), ("R", -1)])
def test_chest_wall_is_on_the_side_of_the_other_breast(written, laterality, wall):
    pixels = read_pixels(written / f"dicom/S3N000000/S3N000000-{laterality}CC.dcm").values

    middle = pixels[len(pixels) // 2]

    assert middle[wall] > 0
    assert middle[0 if wall else -1] == 0


def test_files_are_valid_mammograms(written):
    dciodvfy = shutil.which("dciodvfy", path=str(Path(sys.executable).parent))
    assert dciodvfy, "the dev extra brings dciodvfy"

    said = [
        subprocess.run([dciodvfy, "-new", path], capture_output=True, text=True, check=False)
        for path in (written / "dicom").rglob("*.dcm")
    ]

    assert len(said) == 16
    assert all("MammographyImageForPresentation" in one.stderr + one.stdout for one in said)
    assert not [
        line for one in said for line in one.stderr.splitlines() if line.startswith("Error")
    ]


def test_shipped_phantom_is_the_one_of_its_seed():
    patient = draw_patient(SHIPPED_SEED, SHIPPED_NUMBER)
    right, left = patient.breasts
    assert not right.lesions
    assert [lesion.observation.attribute for lesion in left.lesions] == [Attribute.MASS]
    for breast, view_position in itertools.product(patient.breasts, VIEW_POSITIONS):
        shipped = read_pixels(SHIPPED / f"{breast.laterality}{view_position}.dcm").values

        drawn = draw_view(patient, breast, view_position).pixels

        # Fourier transforms differ in the last digit from machine to machine.
        assert (np.abs(shipped.astype(int) - drawn) > 2).mean() < 0.001


@pytest.mark.parametrize("largest", [300, 3000, 10_000])
def test_no_file_is_cut_off_where_the_disk_is_full(tmp_path, largest):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*(png|dcm)"):
            write_phantoms(Order(seed=3, studies=1, out=tmp_path, with_dicom=True, **SMALL))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix not in {".png", ".dcm"}]
    assert all(cv2.imread(str(path), -1) is not None for path in files if path.suffix == ".png")
