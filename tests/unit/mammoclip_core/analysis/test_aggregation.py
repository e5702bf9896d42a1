import pytest
from core_factory import pair

from mammoclip_core.analysis.aggregation import breasts_of, study_of
from mammoclip_core.findings import (
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
)


def image(laterality: str, score: float, density: tuple[float, ...] = ()) -> ImageFindings:
    mass = Finding(
        name="mass",
        code=pair("mass").code,
        score=score,
        calibrated=False,
        above_threshold=score >= 0.5,
        source=FindingSource.PROMPT,
        method=LocalisationMethod.NONE,
    )
    return ImageFindings(
        sop_instance_uid="1.2",
        laterality=laterality,
        status=ImageStatus.ANALYSED,
        findings=(mass,),
        density_scores=density,
    )


def test_breast_has_the_highest_score_of_its_images() -> None:
    breasts = breasts_of([image("L", 0.2), image("R", 0.9), image("L", 0.6), image("L", 0.4)])

    scores = {breast.laterality: breast.findings[0].score for breast in breasts}
    assert scores == {"R": 0.9, "L": 0.6}


def test_breast_is_above_threshold_if_one_image_is() -> None:
    (breast,) = breasts_of([image("L", 0.2), image("L", 0.6)])

    assert breast.findings[0].above_threshold


def test_scores_say_how_they_come_from_those_below() -> None:
    images = [image("L", 0.2), image("L", 0.6), image("R", 0.3)]

    breasts = breasts_of(images, [pair("mass", aggregation="mean")])

    said = [breast.findings[0].aggregation for breast in (*breasts_of(images), *breasts)]
    assert said == ["highest of its images"] * 2 + ["mean of its images"] * 2
    assert study_of(breasts)[0].aggregation == "highest of the breasts"


def test_study_has_the_highest_score_of_its_breasts() -> None:
    (mass,) = study_of(breasts_of([image("L", 0.2), image("R", 0.3)]))

    assert mass.score == 0.3


@pytest.mark.parametrize(
    ("scores", "category"),
    [
        ([(0.9, 0.1, 0.0, 0.0), (0.0, 0.4, 0.35, 0.25)], "A"),
        ([(0.6, 0.4, 0.0, 0.0), (0.0, 0.5, 0.5, 0.0), (0.0, 0.5, 0.5, 0.0)], "B"),
        ([(0.0, 0.0, 0.3, 0.7)], "D"),
    ],
)
def test_density_is_the_category_of_the_highest_mean(
    scores: list[tuple[float, ...]], category: str
) -> None:
    (breast,) = breasts_of([image("L", 0.2, density) for density in scores])

    assert breast.density == category


@pytest.mark.parametrize(("threshold", "above"), [(0.5, False), (0.4, True)])
def test_averaged_finding_has_the_mean_of_its_images(threshold: float, above: bool) -> None:
    entry = pair("mass", threshold, aggregation="mean")

    breasts = breasts_of([image("L", 0.2), image("L", 0.6), image("R", 0.1)], [entry])

    left = next(breast for breast in breasts if breast.laterality == "L")
    assert left.findings[0].score == pytest.approx(0.4)
    assert left.findings[0].above_threshold is above


def test_study_has_the_highest_mean_of_its_breasts() -> None:
    entry = pair("mass", aggregation="mean")

    (mass,) = study_of(breasts_of([image("L", 0.2), image("L", 0.6), image("R", 0.3)], [entry]))

    assert mass.score == pytest.approx(0.4)


def test_failed_image_counts_for_no_breast() -> None:
    failed = ImageFindings(
        sop_instance_uid="1.2", laterality="L", status=ImageStatus.FAILED, reason="no pixels"
    )

    assert breasts_of([failed]) == ()


def test_image_of_unknown_breast_still_counts_for_the_study() -> None:
    (mass,) = study_of(breasts_of([image("", 0.8), image("R", 0.3)]))

    assert mass.score == 0.8
