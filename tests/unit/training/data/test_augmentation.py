"""Augmentation as the authors' code has it, as the paper's text says, and of boxes."""

import numpy as np
import pytest
import torch

from training.data.augmentation import OFFICIAL, PLAIN, PRESETS, Augmentation
from training.data.deformation import (
    Deformation,
    affine,
    centred,
    from_points,
    mirror,
    smooth_field,
)

ROWS, COLUMNS = 1520, 912

# Written down from albumentations 1.4.7: Affine(rotate=20, translate_percent=0.1, shear=20) with
# scales of 0.9 and 1.1 on an image of 1520 x 912.
LIBRARY_AFFINE = [
    [0.57185602, 0.75244432, -285.26187687],
    [-0.63420051, 0.89672822, 519.31325127],
]


def blobs(places, rows=ROWS, columns=COLUMNS):
    y, x = np.mgrid[:rows, :columns]
    image = sum(np.exp(-((x - left) ** 2 + (y - top) ** 2) / 32) for left, top in places)
    return torch.from_numpy(image.astype(np.float32))[None]


def centre(image):
    weight = image[0].double().numpy()
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()


def test_official_affine_is_the_one_of_the_authors_library():
    drawn = affine(
        degrees=-20, shear=(20, -20), scale=(0.9, 1.1), shift=(0.1 * COLUMNS, 0.1 * ROWS)
    )

    assert np.allclose(centred(drawn, ROWS, COLUMNS)[:2], LIBRARY_AFFINE, atol=1e-7)


def test_image_goes_where_the_library_brings_it():
    """Its centre of a disc at (600, 1000) is (810.33, 1035.61) there."""
    matrix = np.vstack([LIBRARY_AFFINE, [0, 0, 1]])

    moved = Deformation(matrix=matrix).of_image(blobs([(600, 1000)]))

    assert centre(moved) == pytest.approx((810.3, 1035.6), abs=0.15)


def test_official_affine_always_turns_moves_and_shears_to_the_same_side():
    always = Augmentation(flip=0, affine=1, elastic=0, is_one_sided=True, scale=(1, 1))
    image = blobs([(500, 700)], 1000, 800)

    places = [centre(always(image, seed)) for seed in range(4)]

    assert all(place == pytest.approx(places[0], abs=1e-3) for place in places)
    assert places[0] != pytest.approx((500, 700), abs=50)


def test_official_steps_are_each_taken_every_second_time():
    image = blobs([(60, 70)], 152, 91)
    rescaled = (image - image.min()) / (image.max() - image.min())
    only_affine = Augmentation(flip=0, affine=0.5, elastic=0, is_one_sided=True, is_rescaled=True)

    unchanged = [torch.allclose(only_affine(image, seed), rescaled) for seed in range(400)]

    assert OFFICIAL.affine == OFFICIAL.elastic == OFFICIAL.flip == 0.5
    assert 150 < sum(unchanged) < 250


def test_reference_points_of_the_elastic_step_are_the_library_s():
    """Its points on 1520 x 912: rows are taken for x; the matrix is OpenCV's for these shifts."""
    corners = np.array([[1064.0, 760.0], [1064.0, 152.0], [456.0, 152.0]])
    shifts = np.array([[10.0, -20.0], [30.0, 40.0], [-50.0, 5.0]])

    matrix = from_points(corners, corners + shifts)

    assert np.allclose(matrix @ np.array([1064, 760, 1]), [1074, 740, 1])
    assert np.allclose(matrix @ np.array([456, 152, 1]), [406, 157, 1])


def test_elastic_step_moves_the_middle_of_an_image_by_tens_of_pixels():
    """As it was seen in runs of the authors' library: mean shifts of 10 to 79 pixels."""
    elastic = Augmentation(flip=0, affine=0, elastic=1, elastic_shift=50)
    image = blobs([(455, 760)])

    shifts = [
        np.hypot(*np.subtract(centre(elastic(image, seed)), (455, 760))) for seed in range(12)
    ]

    assert 15 < np.mean(shifts) < 70
    assert max(shifts) > 30


def test_displacements_have_the_strength_of_blurred_noise():
    """Uniform noise blurred by sigma: its deviation is 1 / sqrt(3) / (2 sqrt(pi) sigma)."""
    generator = torch.Generator().manual_seed(4)
    fields = [
        smooth_field(ROWS, COLUMNS, alpha=10, sigma=15, generator=generator) for _ in range(6)
    ]

    strength = torch.stack(fields).std().item()

    assert strength == pytest.approx(10 / np.sqrt(3) / (2 * np.sqrt(np.pi) * 15), rel=0.06)
    across = torch.stack(fields).diff(dim=-1).std().item()  # as smooth as a blur of 15 pixels
    assert across == pytest.approx(strength / (np.sqrt(2) * 15), rel=0.15)


def test_least_and_greatest_value_are_0_and_1_after_the_official_augmentation():
    image = 0.2 + 0.5 * blobs([(300, 500), (500, 900)])

    for seed in range(4):
        changed = OFFICIAL(image, seed)
        assert (changed.min().item(), changed.max().item()) == (0, 1)


def test_uncovered_corners_are_black_by_the_affine_and_reflected_by_the_elastic_step():
    image = torch.ones(1, 300, 200)

    turned = Augmentation(flip=0, affine=1, elastic=0)(image, 3)
    shifted = Augmentation(flip=0, affine=0, elastic=1, elastic_shift=50)(image, 3)

    assert turned.min() == 0
    assert shifted.min() > 0.99


def test_same_seed_gives_the_same_image_whatever_ran_before():
    image = blobs([(30, 40)], 152, 91)
    for augmentation in PRESETS.values():
        first = augmentation(image, 7)
        torch.rand(5)
        np.random.default_rng().random(3)
        assert torch.equal(first, augmentation(image, 7))
    assert not torch.equal(PRESETS["paper"](image, 7), PRESETS["paper"](image, 8))


def test_plain_augmentation_gives_the_image_itself():
    image = blobs([(30, 40)], 152, 91)

    assert torch.equal(PLAIN(image, 1), image)


@pytest.mark.parametrize("name", ["official", "paper"])
def test_boxes_stay_on_what_they_were_drawn_around(name):
    image = torch.zeros(1, 512, 512)
    image[:, 200:230, 240:290] = 1
    box = torch.tensor([[240.0, 200.0, 290.0, 230.0]])
    seen = 0
    for seed in range(12):
        changed, boxes = PRESETS[name].with_boxes(image, box, seed)
        rows, columns = torch.nonzero(changed[0] > 0.6, as_tuple=True)
        if not len(boxes):
            continue
        left, top, right, bottom = boxes[0].tolist()
        assert left - 2 <= columns.min() <= columns.max() <= right + 1
        assert top - 2 <= rows.min() <= rows.max() <= bottom + 1
        seen += 1
    assert seen > 6


def test_mirrored_box_lies_on_the_mirrored_pixels_exactly():
    image = torch.zeros(1, 40, 60)
    image[:, 5:10, 7:20] = 1
    turned = Deformation(matrix=centred(mirror(horizontally=True, vertically=False), 40, 60))
    flipped = Augmentation(flip=1.0, affine=0, elastic=0)

    changed, boxes = flipped.with_boxes(image, torch.tensor([[7.0, 5.0, 20.0, 10.0]]), 0)

    assert torch.equal(turned.of_image(image).round(), image.flip(2))
    assert boxes[0].tolist() == pytest.approx([40, 30, 53, 35], abs=1e-4)
    assert changed[0, 30:35, 40:53].min() > 0.99


def test_box_that_leaves_the_image_is_dropped():
    away = Augmentation(flip=0, affine=1, elastic=0, degrees=0, shear=0, translate=0.9,
                        scale=(1, 1), is_one_sided=True)  # fmt: skip
    image = torch.zeros(1, 100, 100)

    _, boxes = away.with_boxes(image, torch.tensor([[50.0, 50, 60, 60], [0, 0, 8, 8]]), 1)

    assert boxes.tolist() == [pytest.approx([90, 90, 98, 98], abs=1e-3)]
