"""A detector's boxes are judged one by one."""

from dataclasses import replace

import numpy as np
import pytest

from mammoclip_core.analysis.interpretation import findings_of
from mammoclip_core.findings import Finding, FindingSource, LocalisationMethod, ScoreOf
from mammoclip_core.images.preprocessing import CropGeometry, PreparedImage
from mammoclip_core.manifest import (
    DetectorEntry,
    EncoderEntry,
    FindingEntry,
    Manifest,
    Preprocessing,
)
from mammoclip_core.prediction import DetectedBox, Prediction

BOXES = tuple(
    DetectedBox(box=(10.0 + 100 * number, 10.0, 90.0 + 100 * number, 90.0), score=score)
    for number, score in enumerate((0.92, 0.5, 0.22))
)
ENTRY = FindingEntry(
    name="mass", code="SCT|4147007|Mass", source=FindingSource.DETECTOR, head="mass", threshold=0.5
)


def answer(entry: FindingEntry, **scores: float) -> Finding:
    manifest = Manifest(
        name="b",
        version="1",
        weights_sha256="0" * 64,
        licence="MIT",
        permitted_use="research use",
        trained_on="nothing",
        intended_use="tests",
        encoders=(EncoderEntry(name="image", architecture="x", padding="published"),),
        preprocessing=Preprocessing(mode="published", rows=512, columns=512, mean=0.0, std=1.0),
        findings=(entry,),
        detectors=(DetectorEntry(name="mass", finding="mass", architecture="x"),),
    )
    image = PreparedImage(
        values=np.zeros((512, 512), np.float32),
        grey=np.zeros((512, 512), np.uint8),
        geometry=CropGeometry(
            column_runs=((0, 512),), row_runs=((0, 512),), input_columns=512, input_rows=512
        ),
        source_rows=512,
        source_columns=512,
    )
    prediction = Prediction(scores=scores, activations={}, boxes={"mass": BOXES})
    (finding,) = findings_of(manifest, prediction, image)
    return finding


def test_each_box_has_its_own_score_and_judgement() -> None:
    mass = answer(ENTRY)

    assert (mass.score, mass.threshold, mass.method) == (0.92, 0.5, LocalisationMethod.BOX)
    assert [region.score for region in mass.regions] == [0.92, 0.5, 0.22]
    assert [region.above_threshold for region in mass.regions] == [True, True, False]
    assert {region.score_of for region in mass.regions} == {ScoreOf.REGION}


def test_calibration_of_the_finding_is_that_of_its_boxes() -> None:
    knots = ((0.0, 0.0), (0.5, 0.1), (1.0, 0.6))

    mass = answer(replace(ENTRY, isotonic=knots, threshold=0.3, calibration_domain="mammograms"))

    assert [region.score for region in mass.regions] == pytest.approx([0.52, 0.1, 0.044])
    assert mass.regions[0].score == mass.score
    assert all(region.calibrated for region in mass.regions)
    assert [region.above_threshold for region in mass.regions] == [True, False, False]


def test_boxes_beside_a_head_keep_the_score_of_the_detector() -> None:
    entry = replace(ENTRY, source=FindingSource.HEAD, calibration=(1.0, 0.0), threshold=0.6)

    mass = answer(entry, mass=0.7)

    assert mass.score == pytest.approx(0.7)
    assert [region.score for region in mass.regions] == [0.92, 0.5, 0.22]
    assert not any(region.calibrated for region in mass.regions)
    assert all(region.above_threshold for region in mass.regions)


def test_finding_below_its_threshold_has_no_boxes() -> None:
    assert answer(replace(ENTRY, threshold=0.95)).regions == ()
