import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from training.measures.intervals import bootstrap
from training.measures.localisation import (
    Detections,
    best_overlap,
    mean_average_precision,
    overlaps,
)
from training.measures.operating_points import (
    at_threshold,
    threshold_for_sensitivity,
    threshold_for_specificity,
)
from training.measures.score_measures import (
    auroc,
    average_precision,
    balanced_accuracy,
    expected_calibration_error,
    macro_f1,
    quadratic_kappa,
    ranks_of_own_texts,
    retrieval_ranks,
)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_auroc_is_the_librarys_with_ties(cases):
    labels, scores = np.array(cases, dtype=int).T
    if labels.min() == labels.max():
        assert np.isnan(auroc(labels, scores))
    else:
        assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_nothing_is_claimed_without_a_positive():
    assert np.isnan(average_precision([0, 0], [0.2, 0.1]))
    assert str(bootstrap(auroc, [0, 0], [0.1, 0.2])) == "–"


def test_always_the_commonest_density_earns_a_quarter():
    truth = np.repeat([0, 1, 2, 3], [5, 95, 765, 135])
    answer = np.full_like(truth, 2)
    assert balanced_accuracy(truth, answer) == 0.25
    assert quadratic_kappa(truth, answer, range(4)) == pytest.approx(0, abs=1e-12)
    assert macro_f1(truth, answer, range(4)) < 0.25


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_balanced_accuracy_is_the_librarys(cases):
    truth, answer = np.array(cases).T
    if set(answer) <= set(truth) and len(set(truth)) > 1:
        assert balanced_accuracy(truth, answer) == pytest.approx(
            balanced_accuracy_score(truth, answer)
        )


def test_calibration_error_does_not_depend_on_the_order_of_equal_scores():
    said = np.repeat([0.2, 0.5, 0.9], [7, 30, 13])
    labels = np.random.default_rng(3).random(50) < 0.4
    orders = [np.random.default_rng(seed).permutation(50) for seed in range(10)]

    errors = {round(expected_calibration_error(labels[o], said[o], 10), 12) for o in orders}

    assert len(errors) == 1
    assert errors.pop() == pytest.approx(
        np.average(
            [abs(labels[said == one].mean() - one) for one in (0.2, 0.5, 0.9)], weights=[7, 30, 13]
        ),
        abs=0.06,
    )


def test_calibration_error_sees_overconfidence():
    generator = np.random.default_rng(1)
    said = generator.random(20_000)
    labels = generator.random(20_000) < said
    assert expected_calibration_error(labels, said) < 0.02
    assert expected_calibration_error(labels, np.round(said)) > 0.2


def test_retrieval_counts_a_tie_against_the_model():
    assert retrieval_ranks(np.eye(4), range(4)).tolist() == [1, 1, 1, 1]
    assert retrieval_ranks(np.ones((4, 4)), range(4)).tolist() == [4, 4, 4, 4]


def test_interval_widens_when_images_of_a_patient_are_equal():
    generator = np.random.default_rng(3)
    labels = np.repeat(generator.random(60) < 0.5, 4)
    scores = np.repeat(generator.random(60), 4) + labels * 0.3
    singly = bootstrap(auroc, labels, scores, repeats=300)
    grouped = bootstrap(auroc, labels, scores, groups=np.repeat(np.arange(60), 4), repeats=300)
    assert grouped.value == singly.value
    assert grouped.high - grouped.low > 1.5 * (singly.high - singly.low)
    assert grouped.low < grouped.value < grouped.high


def test_interval_refuses_columns_of_different_length():
    with pytest.raises(ValueError, match="3"):
        bootstrap(auroc, [0, 1, 1], [0.1, 0.2])


BOX = np.array([[0.0, 0, 10, 10]])


def test_overlap_adds_no_pixel():
    assert overlaps(BOX, np.array([[5.0, 0, 15, 10]]))[0, 0] == pytest.approx(1 / 3)
    assert overlaps(BOX, np.array([[10.0, 0, 20, 10]]))[0, 0] == 0
    assert overlaps(BOX, np.empty((0, 4))).shape == (1, 0)


def _found(boxes, scores, truth):
    return Detections(
        boxes=np.reshape(np.asarray(boxes, float), (-1, 4)),
        scores=np.asarray(scores, float),
        truth=np.reshape(np.asarray(truth, float), (-1, 4)),
    )


def test_second_box_on_the_same_truth_is_wrong():
    one = _found([[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8], BOX)
    assert mean_average_precision([one], 0.5) == 1.0
    other = _found([[50, 50, 60, 60], [0, 0, 10, 10]], [0.9, 0.8], BOX)
    assert mean_average_precision([other], 0.5) == pytest.approx(0.5)


def test_images_without_the_finding_lower_the_precision():
    hit = _found([[0, 0, 10, 10]], [0.5], BOX)
    clean = _found([[0, 0, 10, 10]], [0.9], [])
    assert mean_average_precision([hit], 0.5) == 1.0
    assert mean_average_precision([hit, clean], 0.5) == pytest.approx(0.5)
    assert mean_average_precision([hit, clean], 0.5, score_cut=0.95) == 0.0
    assert np.isnan(mean_average_precision([clean], 0.5))


def test_order_of_images_decides_nothing_where_boxes_score_alike():
    truth = np.array([[0.0, 0, 10, 10]])
    hit = Detections(boxes=truth, scores=np.array([0.5]), truth=truth)
    miss = Detections(boxes=truth + 50, scores=np.array([0.5]), truth=truth[:0])

    assert mean_average_precision([hit, miss], 0.5) == mean_average_precision([miss, hit], 0.5)
    assert mean_average_precision([miss, hit], 0.5) == pytest.approx(0.5)


def test_best_overlap_is_0_where_nothing_is_found():
    assert best_overlap(np.empty((0, 4)), BOX) == 0
    assert best_overlap(BOX, BOX) == 1


@given(st.data())
def test_thresholds_keep_their_target(data):
    scores = data.draw(st.lists(st.integers(0, 9), min_size=4, max_size=40))
    labels = [
        0,
        1,
        *data.draw(st.lists(st.booleans(), min_size=len(scores) - 2, max_size=len(scores) - 2)),
    ]
    target = data.draw(st.floats(0.01, 1))
    assert threshold_for_sensitivity(labels, scores, target).sensitivity >= target - 1e-9
    assert threshold_for_specificity(labels, scores, target).specificity >= target - 1e-9


def width(interval):
    return interval[1] - interval[0]


def test_intervals_of_an_operating_point_are_over_patients():
    generator = np.random.default_rng(5)
    scores, labels = np.repeat(generator.random(80), 4), np.repeat([0, 1], 160)
    patients = np.repeat(np.arange(80), 4)

    by_image = at_threshold(labels, scores, 0.5)
    by_patient = at_threshold(labels, scores, 0.5, patients)
    faultless = at_threshold(labels, labels, 0.5, patients)

    for name in ("sensitivity_interval", "specificity_interval"):
        wide, narrow = width(getattr(by_patient, name)), width(getattr(by_image, name))
        assert wide == pytest.approx(2 * narrow, rel=0.15)  # four images say what one says
        # Wilson's of 40 of 40
        assert getattr(faultless, name) == pytest.approx((0.912, 1.0), abs=1e-3)


def test_operating_point_has_intervals_and_needs_both_classes():
    point = at_threshold([1] * 20 + [0] * 20, [0.9] * 19 + [0.1] + [0.2] * 20, 0.5)
    assert (point.sensitivity, point.specificity) == (0.95, 1.0)
    low, high = point.sensitivity_interval
    assert 0.7 < low < 0.95 < high < 1
    with pytest.raises(ValueError, match="positives and negatives"):
        at_threshold([1, 1], [0.1, 0.2], 0.5)
    with pytest.raises(ValueError, match="target"):
        threshold_for_sensitivity([0, 1], [0.1, 0.2], 0)


def test_ranks_of_embeddings_are_those_of_their_whole_product_in_less_memory():
    generator = np.random.default_rng(3)
    texts = generator.standard_normal((50, 8)).astype(np.float32)
    own = generator.integers(0, 50, 120).tolist()
    images = texts[own] + generator.standard_normal((120, 8)).astype(np.float32)

    ranks = ranks_of_own_texts(images, texts, own, at_once=7)

    assert ranks.tolist() == retrieval_ranks(images @ texts.T, own).tolist()
    assert ranks_of_own_texts(images[:0], texts, []).tolist() == []
    many = np.zeros((6000, 4), np.float32)
    tracemalloc.start()
    ranks_of_own_texts(many, many, range(6000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6000 * 6000 * 4  # the whole product alone
