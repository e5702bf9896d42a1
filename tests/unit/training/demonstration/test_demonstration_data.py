"""The demonstration's data: prepared phantoms, and windows that hold what they say."""

import json

import numpy as np
import pytest

from training.demonstration.images import prepare_phantoms, read_truth
from training.demonstration.phantom_records import phantom_records
from training.demonstration.windows import cut_windows, window_records
from training.pretraining.image_source import ARRAY_NAME, ImageArray

SEED, STUDIES, SIZE, WINDOW = 9, 2, (190, 114), (96, 64)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    prepare_phantoms(SEED, STUDIES, SIZE, folder)
    return folder


def test_truth_has_a_line_for_each_image_in_order(prepared):
    truth = read_truth(prepared)

    names = [
        name
        for record in phantom_records(SEED, STUDIES)
        for view in record.images.values()
        for name in view
    ]

    assert sorted(item.name for item in truth) == sorted(names)
    assert len(np.load(prepared / ARRAY_NAME)) == len(truth) == 4 * STUDIES


def test_interrupted_drawing_goes_on_to_the_same_images(prepared, tmp_path):
    prepare_phantoms(SEED, 1, SIZE, tmp_path / "one")
    images = np.lib.format.open_memmap(
        tmp_path / ARRAY_NAME, mode="w+", dtype=np.uint8, shape=(4 * STUDIES, *SIZE)
    )
    images[:4] = np.load(tmp_path / "one" / ARRAY_NAME)
    images.flush()
    (tmp_path / "drawn.json").write_text((tmp_path / "one/drawn.json").read_text())

    prepare_phantoms(SEED, STUDIES, SIZE, tmp_path)

    assert (tmp_path / ARRAY_NAME).read_bytes() == (prepared / ARRAY_NAME).read_bytes()
    assert read_truth(tmp_path) == read_truth(prepared)


def test_window_keeps_its_lesion_and_its_label(prepared, tmp_path):
    cut_windows(prepared, tmp_path, WINDOW, seed=1)

    whole, cut = read_truth(prepared), read_truth(tmp_path)
    assert any(item.lesions for item in whole)
    assert [bool(item.lesions) for item in cut] == [bool(item.lesions) for item in whole]
    labels = {
        name: kept
        for record in window_records(phantom_records(SEED, STUDIES), tmp_path)
        for name, kept in record.labels.items()
    }
    for item in cut:
        shown = {observation.attribute.value for observation in labels[item.name].observations}
        assert shown == {lesion.attribute for lesion in item.lesions}
    image = ImageArray(tmp_path)(json.loads((tmp_path / "images.json").read_text())[0])
    assert image.shape == (1, *WINDOW)
    assert 0.0 <= float(image.min()) < float(image.max()) <= 1.0
