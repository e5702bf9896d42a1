"""The demonstration's data: prepared phantoms, and windows that hold what they say."""

import json

import numpy as np
import pytest
import torch

from training.data.image_source import ARRAY_NAME
from training.examples.demonstration.cell_targets import ABSENT, PRESENT, UNDECIDED, cell_truth
from training.examples.demonstration.dense_samples import DenseSamples, DenseSampleSettings
from training.examples.demonstration.phantom_images import (
    TRUTH_NAME,
    TrueLesion,
    prepare_phantoms,
    read_truth,
)
from training.examples.demonstration.phantom_records import phantom_records
from training.reports.report_synthesis import Attribute

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


def samples_of(folder, size):
    return DenseSamples(DenseSampleSettings(images=str(folder), rows=size[0], columns=size[1]))


@pytest.fixture(scope="module")
def samples(prepared):
    return samples_of(prepared, WINDOW)


def test_sample_is_the_same_for_the_same_epoch_and_place(samples):
    first, again, later = samples[(0, 1)], samples[(0, 1)], samples[(1, 1)]

    assert first.image.shape == (1, *WINDOW)
    assert first.image.equal(again.image)
    assert not first.image.equal(later.image)


def test_image_with_a_lesion_comes_more_often_and_shows_it(prepared, samples):
    truth = read_truth(prepared)
    bearing = {Attribute.MASS.value, Attribute.SUSPICIOUS_CALCIFICATION.value}
    shown = [any(one.attribute in bearing for one in item.lesions) for item in truth]

    drawn = [samples[(0, place)] for place in range(len(samples))]

    assert len(samples) == len(truth) + sum(shown)
    with_lesion = sum(bool((sample.cells == PRESENT).any()) for sample in drawn)
    assert with_lesion == 2 * sum(shown) > 0


def test_window_looks_as_bright_as_in_its_image(prepared):
    whole, bright = samples_of(prepared, SIZE), samples_of(prepared, WINDOW)

    assert float(whole[(0, 0)].image.max()) == 1.0
    assert float(bright[(0, 0)].image.max()) <= 1.0
    assert any(float(bright[(0, place)].image.max()) < 1.0 for place in range(len(bright)))


def lesion(attribute, box):
    return TrueLesion(attribute=attribute.value, size_mm=10.0, box=box)


def test_cells_on_a_lesion_are_its_own_and_those_at_its_rim_nobodys():
    mass = lesion(Attribute.MASS, (64.0, 64.0, 160.0, 160.0))

    cells = cell_truth([mass], (8, 7), 32, 15.5)

    assert not cells[1].any()
    assert cells[0, 3, 3] == PRESENT  # its centre lies at 112.5
    assert cells[0, 1, 3] == UNDECIDED  # 64 pixels above the centre, 16 above its upper edge
    assert cells[0, 0, 3] == cells[0, 7, 6] == ABSENT


def test_small_lesion_has_one_cell_and_one_outside_none():
    small = lesion(Attribute.SUSPICIOUS_CALCIFICATION, (30.0, 62.0, 34.0, 66.0))
    outside = lesion(Attribute.MASS, (-500.0, -500.0, -400.0, -400.0))
    other = lesion(Attribute.ARCHITECTURAL_DISTORTION, (0.0, 0.0, 200.0, 200.0))

    cells = cell_truth([small, outside, other], (4, 4), 32, 15.5)

    assert (cells[1] == PRESENT).sum() == 1
    assert not cells[0].any()


def test_mirrored_boxes_stay_on_what_they_enclose(prepared):
    size = {"rows": SIZE[0], "columns": SIZE[1]}
    plain = DenseSamples(DenseSampleSettings(images=str(prepared), is_flipped=False, **size))
    mirrored = DenseSamples(DenseSampleSettings(images=str(prepared), **size))
    bearing = [place for place in range(len(plain)) if (plain[(0, place)].cells == PRESENT).any()]

    for place in bearing:
        before, after = plain[(0, place)], mirrored[(0, place)]
        axes = [
            [axis - 2 for axis in range(2) if turned >> axis & 1]
            for turned in range(4)
            if before.image.flip([axis - 2 for axis in range(2) if turned >> axis & 1]).equal(
                after.image
            )
        ]
        assert len(axes) == 1
        brightness = _brightness(after.image, after.cells)
        assert brightness == pytest.approx(_brightness(before.image, before.cells), abs=0.12)


def _brightness(image, cells):
    """Return the mean brightness around the cells of a lesion."""
    place = (cells == PRESENT).any(dim=0)
    grown = torch.nn.functional.interpolate(
        place[None, None].float(), size=image.shape[-2:], mode="nearest"
    )[0]
    return float(image[grown > 0].mean())


def test_busy_parts_show_bright_dots_more_often(tmp_path):
    image = np.full((1, 400, 400), 90, np.uint8)
    image[0, 260:300:10, 250:290:8] = 140
    np.save(tmp_path / ARRAY_NAME, image)
    item = {"name": "one", "patient_id": "1", "laterality": "L", "view_position": "CC"}
    truth = [{**item, "density": "B", "lesions": []}]
    (tmp_path / TRUTH_NAME).write_text(json.dumps(truth))

    def share_with_dots(busy_share):
        samples = DenseSamples(
            DenseSampleSettings(images=str(tmp_path), rows=96, columns=96, busy_share=busy_share)
        )
        return np.mean([float(samples[(epoch, 0)].image.max()) == 1.0 for epoch in range(40)])

    assert share_with_dots(0.0) < 0.4
    assert share_with_dots(1.0) > 0.7
