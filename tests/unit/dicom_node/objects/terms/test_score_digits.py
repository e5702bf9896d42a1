"""A score is written with as many digits as tell it from its threshold, wherever it stands."""

from dataclasses import replace

import pytest
from every_kind import EVERY_KIND, box_of, boxed
from objects_factory import (
    NEGATIVE,
    context_of,
    finding,
    image_of,
    mammogram,
    results_of,
    study_of,
)
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing.captions import captions_of
from dicom_node.objects.drawing.picture import finding_paragraphs
from dicom_node.objects.terms.scores import percent_of, score_text, standing_text
from mammoclip_core.analysis.aggregation import breasts_of
from mammoclip_core.findings import Finding, ImageFindings

BOXES = replace(
    boxed(box_of(60.0, 150.0, 100.0, 198.0, 0.5), box_of(20.0, 220.0, 70.0, 260.0, 0.4996)),
    threshold=0.5,
)
BELOW = replace(NEGATIVE, name="asymmetry", code="", score=0.0049, threshold=0.005)


def judged(score: float, threshold: float) -> Finding:
    return replace(finding(), score=score, threshold=threshold, above_threshold=score >= threshold)


@pytest.mark.parametrize(
    ("score", "threshold", "words"),
    [
        (0.4, 0.5, "score 0.40, below threshold 0.50"),
        (0.4996, 0.5, "score 0.4996, below threshold 0.5000"),
        (0.4999999, 0.5, "score 0.4999999, below threshold 0.5000000"),
        (0.5, 0.5, "score 0.50, at threshold 0.50"),
        (0.83, 0.829, "score 0.830, above threshold 0.829"),
        (0.00004, 0.005, "score 0.000, below threshold 0.005"),
        (0.0123, 0.0101, "score 0.012, above threshold 0.010"),
        (0.3, 0.0, "score 0.30, above threshold 0.00"),
    ],
)
def test_score_does_not_look_like_a_threshold_that_it_is_not(
    score: float, threshold: float, words: str
) -> None:
    one = judged(score, threshold)

    assert standing_text(one) == words
    assert score_text(one) == words.partition(",")[0]


@pytest.mark.parametrize(
    ("score", "threshold", "percent"),
    [(0.83, 0.5, 83.0), (0.4996, 0.5, 49.96), (0.49999, 0.5, 49.999), (0.0123, 0.0101, 1.2)],
)
def test_percent_has_the_digits_of_the_words(
    score: float, threshold: float, percent: float
) -> None:
    assert percent_of(judged(score, threshold)) == percent


@pytest.fixture(scope="module")
def shown() -> tuple[ImageFindings, dict[ResultKind, Dataset]]:
    header = mammogram()
    image = image_of(header, BOXES, BELOW)
    made = results_of((header, image), breasts=breasts_of([image]), profiles=(EVERY_KIND,))
    return image, {one.kind: one.dataset for one in made}


@pytest.mark.parametrize(
    "kind",
    [
        *(ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT),
        *(ResultKind.SEGMENTATION, ResultKind.PRESENTATION_STATE),
    ],
)
def test_no_object_gives_two_equal_scores_on_two_sides(
    shown: tuple[ImageFindings, dict[ResultKind, Dataset]], kind: ResultKind
) -> None:
    written = str(shown[1][kind])

    assert "49.96" in written or "0.4996" in written
    assert "0.50, below" not in written
    assert "0.50 (below" not in written
    assert "0.00 " not in written


def test_picture_and_sheet_give_no_two_equal_scores_on_two_sides(
    shown: tuple[ImageFindings, dict[ResultKind, Dataset]],
) -> None:
    image, _ = shown
    lines = [text for _, text in captions_of(image)]

    assert lines == ["1 mass score 0.50", "2 mass score 0.4996, below threshold"]


def test_highest_score_of_an_image_without_findings_does_not_look_like_its_threshold() -> None:
    image = image_of(mammogram(), replace(NEGATIVE, score=0.4996, threshold=0.5))

    lines = [one.text for one in finding_paragraphs(image, context_of(study_of(image)))]

    assert lines[-1] == "highest: mass score 0.4996"
