"""A score is calibrated and then compared with its threshold; density is of the breast."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from core_factory import StandInModel, WriteInstance, breast, manifest_with, pair
from engine_factory import analysis_of, marked, request_of

from mammoclip_core.analysis.engine import Engine
from mammoclip_core.analysis.interpretation import calibrated
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.lexicon import DENSITY
from mammoclip_core.manifest import read_manifest


@pytest.mark.parametrize(("score", "is_above"), [(0.5, True), (0.499, False)])
def test_score_at_the_threshold_is_above_it(
    write_instance: WriteInstance, score: float, is_above: bool
) -> None:
    model = StandInModel(manifest_with(), scores={"mass": score})

    (image,) = analysis_of(write_instance(marked(400, 300, (90, 250))), model=model).findings.images

    assert image.findings[0].above_threshold is is_above
    assert bool(image.findings[0].regions) is is_above


@pytest.mark.parametrize(("threshold", "is_above"), [(0.5, True), (0.7, False)])
def test_thresholds_of_a_request_take_the_place_of_the_bundles(
    write_instance: WriteInstance, threshold: float, is_above: bool
) -> None:
    model = StandInModel(manifest_with(pair("mass", threshold=0.6)), scores={"mass": 0.6})
    file = write_instance(marked(400, 300, (90, 250)))

    request = request_of(file)
    engine = Engine(model)
    usual = engine.analyze(request).findings
    other = engine.analyze(replace(request, thresholds={"mass": threshold})).findings

    (finding,) = other.images[0].findings
    assert (finding.threshold, finding.above_threshold) == (threshold, is_above)
    assert bool(finding.regions) is is_above
    assert other.settings_sha256 != usual.settings_sha256


def test_density_is_told_of_the_breast_and_is_no_finding(write_instance: WriteInstance) -> None:
    manifest = manifest_with(pair("mass"), DENSITY)
    model = StandInModel(manifest, density_scores=(0.1, 0.2, 0.6, 0.1))

    findings = analysis_of(write_instance(breast()), model=model).findings

    assert findings.breasts[0].density == "C"
    assert [item.name for item in findings.images[0].findings] == ["mass"]


def test_calibration_is_applied_before_the_threshold(write_instance: WriteInstance) -> None:
    entry = pair("mass", threshold=0.4, calibration=(2.0, -1.0), calibration_domain="mammograms")
    manifest = manifest_with(entry)
    model = StandInModel(manifest, scores={"mass": 0.6})

    (image,) = analysis_of(write_instance(breast()), model=model).findings.images

    odds = (0.6 / 0.4) ** 2 * np.exp(-1.0)
    assert image.findings[0].score == pytest.approx(odds / (1 + odds))
    assert image.findings[0].calibrated
    assert image.findings[0].above_threshold


@pytest.mark.parametrize("domain", ["", "phantoms", "pictures of a book"])
@pytest.mark.parametrize(
    "fitted", [{"calibration": (2.0, -1.0)}, {"isotonic": ((0.4, 0.1), (0.6, 0.9))}]
)
def test_score_that_no_mammogram_calibrated_is_a_score(
    write_instance: WriteInstance, domain: str, fitted: dict[str, Any]
) -> None:
    entry = pair("mass", threshold=0.4, calibration_domain=domain, **fitted)
    model = StandInModel(manifest_with(entry), scores={"mass": 0.6})

    (image,) = analysis_of(write_instance(breast()), model=model).findings.images

    assert not image.findings[0].calibrated
    assert image.findings[0].score == pytest.approx(calibrated(0.6, entry))


def test_demonstration_weights_never_call_a_score_calibrated() -> None:
    manifest = read_manifest(demonstration_bundle())

    fitted = [entry for entry in manifest.findings if entry.calibration is not None]
    assert {entry.calibration_domain for entry in fitted} == {"phantoms"}
    assert not any(entry.is_calibrated for entry in manifest.findings)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_calibration_of_a_certain_score_is_finite(score: float) -> None:
    assert 0.0 <= calibrated(score, pair("mass", calibration=(50.0, 3.0))) <= 1.0


def test_isotonic_calibration_is_linear_between_its_pairs() -> None:
    entry = pair("mass", isotonic=((0.4, 0.1), (0.6, 0.9)))

    values = [calibrated(score, entry) for score in (0.0, 0.4, 0.45, 0.6, 1.0)]

    assert values == pytest.approx([0.1, 0.1, 0.3, 0.9, 0.9])


@pytest.mark.parametrize(
    "changes",
    [
        {"isotonic": ((0.4, 0.9), (0.6, 0.1))},
        {"isotonic": ((0.6, 0.1), (0.4, 0.9))},
        {"isotonic": ((0.4, 0.1), (0.6, 1.9))},
        {"isotonic": ((0.4, 0.1),), "calibration": (1.0, 0.0)},
    ],
)
def test_calibration_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        pair("mass", **changes)
