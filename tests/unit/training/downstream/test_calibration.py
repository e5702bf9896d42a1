"""Calibration finds the truth where it is known, and the engine says and uses it."""

import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.analysis.interpretation import calibrated
from mammoclip_core.engines.choice import load_engine
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.errors import BundleError
from mammoclip_core.lexicon import MASS
from mammoclip_core.manifest import read_manifest
from training.downstream.bundle_scores import bundle_scores
from training.downstream.calibration import (
    Method,
    OperatingTarget,
    calibrate_finding,
    isotonic,
    platt,
)
from training.downstream.labelled_images import read_labelled
from training.downstream.new_bundle import with_findings
from training.errors import SettingsError
from training.measures.score_measures import expected_calibration_error

HALF = OperatingTarget(sensitivity=0.5)


def drawn(count=4000, slope=2.0, intercept=-1.0, seed=0):
    generator = np.random.default_rng(seed)
    scores = expit(generator.normal(size=count))
    probabilities = expit(slope * logit(scores) + intercept)
    return generator.random(count) < probabilities, scores


def test_platt_finds_the_curve_that_made_the_labels():
    slope, intercept = platt(*drawn(40_000))

    assert (slope, intercept) == (pytest.approx(2, abs=0.1), pytest.approx(-1, abs=0.1))


def test_platt_finds_it_where_scores_lie_close_together():
    labels, scores = drawn(40_000)
    close = expit(logit(scores) / 1000)

    assert platt(labels, close)[0] == pytest.approx(2000, rel=0.05)


def test_platt_turns_no_ranking_round():
    labels, scores = drawn()

    slope, intercept = platt(~labels, scores)

    assert slope == 0
    assert expit(intercept) == pytest.approx(1 - labels.mean(), abs=0.01)


def test_platt_stays_finite_where_classes_are_apart():
    slope, intercept = platt([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])

    assert np.isfinite([slope, intercept]).all()


@pytest.mark.parametrize("method", list(Method))
def test_calibrated_scores_are_probabilities(method):
    labels, scores = drawn()
    fresh_labels, fresh = drawn(seed=1)

    entry, _ = calibrate_finding(
        MASS, labels, scores, HALF, data="drawn", domain="mammograms", method=method
    )

    said = [calibrated(float(score), entry) for score in fresh]
    assert expected_calibration_error(fresh_labels, fresh) > 0.08
    assert expected_calibration_error(fresh_labels, said) < 0.04
    assert entry.is_calibrated


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30))
def test_isotonic_pairs_are_what_a_manifest_takes(cases):
    labels, scores = np.array([0, 1, *(c[0] for c in cases)]), [0.5, 0.5, *(c[1] for c in cases)]

    entry, _ = calibrate_finding(MASS, labels, scores, HALF, data="", method=Method.ISOTONIC)

    assert entry.isotonic == isotonic(labels, scores)
    assert all(0 < value < 1 for _, value in entry.isotonic)


@pytest.mark.parametrize(
    "target", [OperatingTarget(sensitivity=0.9), OperatingTarget(specificity=0.9)]
)
def test_threshold_keeps_the_target_between_two_scores(target):
    labels, scores = drawn(300)

    entry, point = calibrate_finding(MASS, labels, scores, target, data="three hundred")

    kept = point.sensitivity if target.sensitivity else point.specificity
    assert 0.9 <= kept < 0.95
    said = np.array([calibrated(float(score), entry) for score in scores])
    assert np.abs(said - entry.threshold).min() > 1e-9
    assert (said[labels] >= entry.threshold).mean() == point.sensitivity
    assert entry.operating_point.sensitivity == point.sensitivity
    assert entry.operating_point.data.startswith("three hundred: ")
    assert "95 % intervals: sensitivity 0." in entry.operating_point.data
    pairs = np.repeat(np.arange(150), 2)
    by_patient, _ = calibrate_finding(MASS, labels, scores, target, data="", patients=pairs)
    assert "95 % intervals over patients: sensitivity 0." in by_patient.operating_point.data


def test_wishes_and_cases_that_cannot_be_met_are_refused():
    for given_ in ({}, {"sensitivity": 0.0}, {"sensitivity": 0.9, "specificity": 0.9}):
        with pytest.raises(SettingsError, match="target sensitivity"):
            OperatingTarget(**given_)
    with pytest.raises(SettingsError, match="mass: none of the 2 images is positive"):
        calibrate_finding(MASS, [0, 0], [0.1, 0.2], HALF, data="")


def test_engine_says_probability_and_uses_the_threshold(small_bundle, pictures, tmp_path):
    data = read_labelled(pictures / "own.csv", [pictures])
    labels = data.images["mass"].to_numpy()
    raw = bundle_scores(small_bundle, data.files)["mass"]
    entry, point = calibrate_finding(
        read_manifest(small_bundle).finding("mass"),
        labels,
        raw,
        HALF,
        data="pictures",
        domain="mammograms",
    )

    with_findings(small_bundle, {"mass": entry}, tmp_path / "bundle")

    engine = load_engine(tmp_path / "bundle", engine=EngineName.TORCH)
    study = StudyRequest(
        study_instance_uid="1.2",
        images=tuple(ImageToAnalyse(sop_instance_uid=str(p), path=p) for p in data.files),
    )
    found = [image.findings[0] for image in engine.analyze(study).findings.images]
    assert all(item.name == "mass" and item.calibrated for item in found)
    assert [item.score for item in found] == pytest.approx(
        [calibrated(float(score), entry) for score in raw], abs=1e-5
    )
    above = np.array([item.above_threshold for item in found])
    assert above[labels == 1].mean() == point.sensitivity
    assert engine.manifest.finding("mass").operating_point == entry.operating_point
    assert read_manifest(tmp_path / "bundle").version.endswith("+calibrated")


def test_disk_that_is_full_is_not_laid_to_the_bundle_that_is_calibrated(small_bundle, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(BundleError, match=r"cannot be copied to .*File too large"):
            with_findings(small_bundle, {}, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert list(tmp_path.iterdir()) == []
