"""Small pictures with a table, and a bundle of random weights at a small size of input."""

import cv2
import numpy as np
import pytest
from small_bundles import SIZE, small_random_bundle


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory):
    return small_random_bundle(tmp_path_factory.mktemp("bundles") / "small")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Folder of 24 pictures of 12 patients, and a table of our own; a disc is a mass."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(7)
    lines = ["file,patient_id,laterality,view,split,mass,density"]
    for number in range(24):
        patient, side = number // 2, "LR"[number % 2]
        has_mass = number % 4 < 2
        picture = generator.integers(60, 120, SIZE).astype(np.uint8)
        picture[:, -12:] = 0
        if has_mass:
            cv2.circle(picture, (20, int(generator.integers(20, 70))), 9, 250, -1)
        name = f"{patient}-{side}.png"
        cv2.imwrite(str(folder / name), picture)
        split = "test" if patient >= 8 else "training"
        lines.append(f"{name},P{patient},{side},CC,{split},{int(has_mass)},{'ABCD'[patient % 4]}")
    (folder / "own.csv").write_text("\n".join(lines) + "\n")
    return folder
