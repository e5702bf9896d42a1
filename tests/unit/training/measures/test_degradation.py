"""Worse pictures are as much worse as they say."""

import numpy as np
import pytest

from training.measures.degradation import CLEAN, Degradation

GREY = np.full((200, 200), 100, np.uint8)


def generator():
    return np.random.default_rng(7)


def test_clean_picture_stays_as_it_is():
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)

    assert np.array_equal(CLEAN.of(picture, generator()), picture)


@pytest.mark.parametrize("noise", [3.0, 6.0])
def test_noise_has_the_stated_deviation(noise):
    noisy = Degradation(name="noise", noise=noise).of(GREY, generator())

    assert noisy.std() == pytest.approx(noise, rel=0.03)
    assert noisy.mean() == pytest.approx(100, abs=0.2)


def test_blur_widens_an_edge_by_the_stated_deviation():
    edge = GREY.copy()
    edge[:, 100:] = 200

    blurred = Degradation(name="blur", blur=1.5).of(edge, generator())

    # The steepest step of an edge is its height over sqrt(2 pi) deviations.
    steepest = np.diff(blurred[100].astype(int)).max()
    assert steepest == pytest.approx(100 / (1.5 * (2 * np.pi) ** 0.5), rel=0.1)


def test_gain_stops_at_white():
    bright = Degradation(name="gain", gain=1.4)

    assert (bright.of(GREY, generator()) == 140).all()
    assert (bright.of(GREY * 2, generator()) == 255).all()
