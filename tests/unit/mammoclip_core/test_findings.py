from dataclasses import replace

import pytest
from findings_factory import MASS, REGION, STUDY

from mammoclip_core.findings import (
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    ScoreOf,
    StudyFindings,
    digest,
)


def with_score(score: float) -> StudyFindings:
    image = replace(STUDY.images[0], findings=(replace(MASS, score=score),))
    return replace(STUDY, images=(image, *STUDY.images[1:]))


def test_digest_ignores_differences_below_a_thousandth() -> None:
    assert digest(with_score(0.6251)) == digest(STUDY)


def test_digest_ignores_which_version_computed() -> None:
    assert digest(replace(STUDY, engine=None)) == digest(STUDY)


def test_digest_tells_scores_apart() -> None:
    assert digest(with_score(0.627)) != digest(STUDY)


def test_digest_tells_outlines_apart() -> None:
    moved = replace(REGION, outline=((12.5, 20.5), (30.5, 20.5), (30.5, 44.5)))
    image = replace(STUDY.images[0], findings=(replace(MASS, regions=(moved,)),))

    assert digest(replace(STUDY, images=(image, STUDY.images[1]))) != digest(STUDY)


def test_study_with_failed_image_is_partial() -> None:
    assert STUDY.is_partial


def test_failed_image_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        ImageFindings(sop_instance_uid="1.2", status=ImageStatus.FAILED)


def boxed(*regions: Region, score: float = 0.625) -> StudyFindings:
    """Return the study with the boxes of a detector in place of attention."""
    mass = replace(
        MASS,
        score=score,
        source=FindingSource.DETECTOR,
        method=LocalisationMethod.BOX,
        regions=regions,
    )
    image = replace(STUDY.images[0], findings=(mass,))
    return replace(STUDY, images=(image, *STUDY.images[1:]))


def box(score: float, *, above_threshold: bool = True) -> Region:
    return replace(
        REGION,
        activation=score,
        score_of=ScoreOf.REGION,
        score=score,
        above_threshold=above_threshold,
    )


def test_answer_without_a_region_score_of_its_own_keeps_the_digest_of_format_1() -> None:
    assert digest(STUDY) == "ca881458af3cea064d0b7ca2d112abc2b81869e4da477582f91e3a27e0ea50a9"


def test_single_box_keeps_the_digest_of_format_1() -> None:
    former = "6ab2ca4ebdf510df5173c24f8f4279f6c0c9c4fbc1e1d67b9ce867607645447a"

    assert digest(boxed(box(0.625))) == former


def test_digest_tells_scores_of_boxes_apart() -> None:
    answers = [
        boxed(box(0.625), box(0.3, above_threshold=False)),
        boxed(box(0.625), box(0.4, above_threshold=False)),
        boxed(box(0.625), box(0.4)),
    ]

    assert len({digest(answer) for answer in answers}) == 3


def test_digest_tells_thresholds_apart() -> None:
    image = replace(STUDY.images[0], findings=(replace(MASS, threshold=0.5),))

    assert digest(replace(STUDY, images=(image, STUDY.images[1]))) != digest(STUDY)


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
