from dataclasses import replace

import pytest
from findings_factory import MASS, REGION, STUDY

from mammoclip_core.findings import (
    ImageFindings,
    ImageStatus,
    Region,
    ScoreOf,
)


def test_study_with_failed_image_is_partial() -> None:
    assert STUDY.is_partial


def test_failed_image_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        ImageFindings(sop_instance_uid="1.2", status=ImageStatus.FAILED)


def box(score: float, *, above_threshold: bool = True) -> Region:
    return replace(
        REGION,
        activation=score,
        score_of=ScoreOf.REGION,
        score=score,
        above_threshold=above_threshold,
    )


def test_region_without_a_score_of_its_own_has_that_of_its_finding() -> None:
    (region,) = replace(MASS, score=0.75, calibrated=True).regions

    assert (region.score, region.calibrated, region.above_threshold) == (0.75, True, True)


def test_region_above_a_finding_below_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="mass is below its threshold, but a region"):
        replace(MASS, above_threshold=False, regions=(box(0.6),))


@pytest.mark.parametrize(("score", "above"), [(0.5, False), (0.4, True)])
def test_judgement_that_contradicts_the_threshold_is_refused(score: float, above: bool) -> None:
    with pytest.raises(ValueError, match=r"its threshold 0\.5"):
        replace(MASS, score=score, above_threshold=above, threshold=0.5)
