"""The detector without learning: it finds the scale of a blob, and nothing in air."""

import cv2
import numpy as np
import pytest

from training.measures.blob_detector import SIGMAS_MM, best_scale_auc, blob_scores


def breast(radius_mm=0.0, spacing_mm=0.5):
    picture = np.zeros((300, 200), np.uint8)
    cv2.ellipse(picture, (0, 150), (150, 140), 0, 0, 360, 120, -1)
    if radius_mm:
        cv2.circle(picture, (60, 150), round(radius_mm / spacing_mm), 160, -1)
    return picture


def test_disc_answers_at_its_own_scale():
    radius_mm = 4.0
    added = blob_scores(breast(radius_mm), 0.5) - blob_scores(breast(), 0.5)

    best = SIGMAS_MM[int(np.argmax(added))]

    assert best == pytest.approx(radius_mm / 2**0.5, rel=0.4)


def test_air_has_no_score():
    assert np.isneginf(blob_scores(np.zeros((60, 60), np.uint8), 0.5)).all()


def test_best_scale_is_the_one_that_tells_blobs_from_none():
    scores = np.array([blob_scores(breast(radius), 0.5) for radius in (0, 4, 0, 4)])

    auc, _ = best_scale_auc(scores, [False, True, False, True])

    assert auc == 1.0
