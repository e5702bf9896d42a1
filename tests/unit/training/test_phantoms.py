"""The phantom study: repeatable, valid, and with one mass where it says."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mammoclip_core.pixels import read_pixels
from training.phantoms import draw_phantom, write_phantom

SHIPPED = Path(__file__).parents[3] / "deploy/demo/studies/phantom"
SHIPPED_SEED = 7


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return list(write_phantom(3, tmp_path_factory.mktemp("phantom")))


def test_same_seed_gives_the_same_bytes(files, tmp_path):
    again = list(write_phantom(3, tmp_path))

    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_other_seed_gives_another_study(files, tmp_path):
    other = next(iter(write_phantom(4, tmp_path)))

    uids = [pydicom.dcmread(path).StudyInstanceUID for path in (files[0], other)]

    assert uids[0] != uids[1]


def test_mass_is_on_both_views_of_one_breast():
    views = draw_phantom(3)

    affected = {view.laterality for view in views if view.mass is not None}

    assert len(affected) == 1
    assert [view.laterality in affected for view in views] == [
        view.mass is not None for view in views
    ]


@pytest.mark.parametrize("seed", range(4))
def test_mass_is_brighter_than_what_surrounds_it(seed):
    for view in draw_phantom(seed):
        if view.mass is None:
            continue
        rows, columns = np.indices(view.pixels.shape)
        distance = np.hypot(columns - view.mass.column, rows - view.mass.row) / view.mass.radius

        inside, around = view.pixels[distance < 0.7], view.pixels[(distance > 1.2) & (distance < 2)]

        assert inside.mean() > around.mean() + 500


@pytest.mark.parametrize(("laterality", "wall"), [("L", 0), ("R", -1)])
def test_chest_wall_is_on_the_side_of_the_other_breast(laterality, wall):
    view = next(view for view in draw_phantom(3) if view.laterality == laterality)

    middle = view.pixels[len(view.pixels) // 2]

    assert middle[wall] > 0
    assert middle[-1 - wall if wall else -1] == 0


def test_stored_pixels_are_the_drawn_ones(files):
    drawn = {f"{view.laterality}{view.view_position}": view.pixels for view in draw_phantom(3)}

    stored = {path.stem: read_pixels(path).values for path in files}

    assert all(np.array_equal(stored[name], drawn[name]) for name in drawn)


def test_files_are_valid_mammograms(files):
    dciodvfy = shutil.which("dciodvfy", path=str(Path(sys.executable).parent))
    assert dciodvfy, "the dev extra brings dciodvfy"

    said = [
        subprocess.run([dciodvfy, "-new", path], capture_output=True, text=True, check=False)
        for path in files
    ]

    assert all("MammographyImageForPresentation" in one.stderr + one.stdout for one in said)
    assert not [
        line for one in said for line in one.stderr.splitlines() if line.startswith("Error")
    ]


def test_shipped_phantom_is_the_one_of_its_seed():
    for view in draw_phantom(SHIPPED_SEED):
        shipped = read_pixels(SHIPPED / f"{view.laterality}{view.view_position}.dcm").values

        # Fourier transforms differ in the last digit from machine to machine.
        assert np.abs(shipped.astype(int) - view.pixels).max() <= 2
