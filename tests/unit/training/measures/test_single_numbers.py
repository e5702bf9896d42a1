"""Numbers that need no model: they count what is there; no forest judges whom it learned from."""

import cv2
import numpy as np
import pytest

from training.measures.single_numbers import FOREST, NAMES, single_number_aucs, single_numbers


def picture(dots=0, spread=150, seed=1):
    generator = np.random.default_rng(seed)
    drawn = np.zeros((400, 260), np.float32)
    cv2.ellipse(drawn, (0, 200), (240, 190), 0, 0, 360, 110, -1)
    for _ in range(dots):
        place = np.array([110, 200]) + generator.uniform(-spread / 2, spread / 2, 2)
        cv2.circle(drawn, tuple(np.round(place).astype(int).tolist()), 2, 190, -1)
    return cv2.GaussianBlur(drawn, (0, 0), 0.8).astype(np.uint8)


def number(name, numbers):
    return numbers[NAMES.index(name)]


def test_every_number_has_a_name():
    assert len(single_numbers(picture(), 0.3)) == len(NAMES) == len(set(NAMES))


def test_dots_are_counted():
    none, five = (single_numbers(picture(count), 0.3) for count in (0, 5))

    assert number("dots above 12", none) == 0
    assert 4 <= number("dots above 12", five) <= 5


def test_window_counts_dots_that_lie_together():
    apart = single_numbers(picture(9, spread=160), 0.3)
    together = single_numbers(picture(9, spread=36), 0.3)

    name = "dots above 12 in 41 pixels"
    assert number(name, together) > 1.5 * number(name, apart)


def test_line_is_no_round_dot():
    drawn = picture().astype(np.float32)
    cv2.line(drawn, (60, 150), (140, 240), 190, 2, cv2.LINE_AA)

    assert number("dots above 12", single_numbers(drawn.astype(np.uint8), 0.3)) <= 1


def test_air_has_numbers_too():
    assert np.isfinite(single_numbers(np.zeros((60, 60), np.uint8), 0.5)).all()


def test_best_number_of_each_group_is_named_whichever_way_it_speaks():
    generator = np.random.default_rng(3)
    labels = np.arange(60) % 2 == 0
    numbers = generator.normal(size=(60, len(NAMES)))
    numbers[:, NAMES.index("dots above 12")] = -1.0 * labels

    aucs = single_number_aucs(numbers, labels, [f"P{place}" for place in range(60)], trees=5)

    assert aucs["dots above 12"] == 1.0
    assert [name.partition(" ")[0].rstrip(":") for name in aucs] == [
        "grey",
        "detail",
        "dots",
        "blob",
        "forest",
    ]


def test_forest_is_judged_by_patients_it_did_not_learn_from():
    generator = np.random.default_rng(4)
    patients = np.repeat(np.arange(40), 4)
    labels = generator.random(40)[patients] < 0.5
    # Each patient's numbers are its own: they tell the patient, and nothing of the finding.
    numbers = generator.normal(size=(40, len(NAMES)))[patients]

    aucs = single_number_aucs(numbers, labels, patients.astype(str).tolist(), trees=20)

    assert aucs[FOREST] == pytest.approx(0.5, abs=0.25)
