"""One score of the examination and one of each breast stand in every object that has words."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from every_kind import EVERY_KIND
from legibility import LEAST_CAPITAL, letters_of, line_heights
from numpy.typing import NDArray
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    context_of,
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    source_of,
    standard_views,
    study_of,
)
from pydicom.dataset import Dataset
from services import require_program
from sr_reading import child, children, concept, read_back, value_code, walk

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing import lettering
from dicom_node.objects.drawing.hanging import cell_of
from dicom_node.objects.drawing.lettering import TEXT
from dicom_node.objects.drawing.picture import compose
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.findings.examination_scores import ExaminationScores, examination_scores
from dicom_node.objects.results import build_results
from dicom_node.objects.sc.summary_sheet import build_summary_sheet
from mammoclip_core.analysis.aggregation import breasts_of
from mammoclip_core.findings import (
    BreastFindings,
    Finding,
    ImageStatus,
    StudyAnalysis,
    StudyFindings,
)

MASS = replace(finding(score=0.95), threshold=0.4)
CANCER = finding(name="malignancy", code="SCT|21594007|Malignant", score=0.71)
LEFT = replace(CANCER, threshold=0.5, aggregation="mean of its images")
RIGHT = replace(LEFT, score=0.12, above_threshold=False)
OVERALL = replace(LEFT, aggregation="highest of the breasts")
LINES = (
    "Examination: malignancy score 0.71, above threshold 0.50 (highest of the breasts)",
    "Right breast: malignancy score 0.12, below threshold 0.50 (mean of its images)",
    "Left breast: malignancy score 0.71, above threshold 0.50 (mean of its images)",
)


def answer(images: tuple = (), *, study: tuple[Finding, ...] = (MASS, OVERALL)) -> StudyFindings:
    breasts = (
        BreastFindings(laterality="R", findings=(NEGATIVE, RIGHT)),
        BreastFindings(laterality="L", findings=(MASS, LEFT)),
    )
    return replace(study_of(*images, breasts=breasts), study=study)


@pytest.fixture(scope="module")
def objects() -> dict[ResultKind, Dataset]:
    views = [mammogram(view, side) for side, view in standard_views()]
    findings = answer(tuple(image_of(one, finding(marker_mask(60, 150)), CANCER) for one in views))
    made = build_results(
        [source_of(one) for one in views],
        StudyAnalysis(
            findings=findings, heatmaps=tuple(heatmap_of(one, 70.0, 170.0) for one in views)
        ),
        identity(),
        profiles=(EVERY_KIND,),
    )
    return {one.kind: read_back(one.dataset) for one in made}


def test_malignancy_speaks_for_the_examination_before_a_higher_mass() -> None:
    assert examination_scores(answer()).lines() == LINES


def test_highest_score_speaks_where_no_disease_is_answered() -> None:
    scores = examination_scores(answer(study=(NEGATIVE, replace(MASS, name="asymmetry"))))

    assert scores.examination is not None
    assert scores.examination.name == "asymmetry"


def test_class_of_a_class_set_never_speaks() -> None:
    shape = replace(finding(name="shape.round", score=0.99), class_of="shape")

    assert examination_scores(answer(study=(shape, MASS))).examination == MASS


def test_answer_without_breasts_has_no_score_of_the_examination() -> None:
    assert examination_scores(study_of()) == ExaminationScores()


def test_banner_of_a_view_has_the_examination_and_its_own_breast() -> None:
    scores = examination_scores(answer())

    assert scores.banner("L") == (
        "Examination: malignancy score 0.71, above threshold 0.50",
        "Left breast: malignancy score 0.71, above threshold 0.50",
    )


def test_reports_state_every_score_in_words(objects: dict[ResultKind, Dataset]) -> None:
    for kind in (ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT):
        items = [item for _, item in walk(objects[kind]) if item.get("ValueType") == "TEXT"]
        words = " ".join(item.TextValue for item in items)
        assert all(f"{line}." in words for line in LINES), kind


def test_images_without_room_for_words_state_the_scores_as_comments(
    objects: dict[ResultKind, Dataset],
) -> None:
    # The last one of each kind is of the left breast.
    for kind in (
        ResultKind.SEGMENTATION,
        ResultKind.ATTENTION_SEGMENTATION,
        ResultKind.SECONDARY_CAPTURE,
    ):
        assert objects[kind].ImageComments == (
            "Examination: malignancy score 0.71, above threshold 0.50. "
            "Left breast: malignancy score 0.71, above threshold 0.50."
        ), kind
    sheet = objects[ResultKind.SUMMARY_SHEET].ImageComments
    assert "Right breast" in sheet
    assert "Left breast" in sheet


def test_key_images_state_the_scores(objects: dict[ResultKind, Dataset]) -> None:
    words = [
        item.TextValue for _, item in walk(objects[ResultKind.KEY_IMAGES]) if "TextValue" in item
    ]

    assert any("Left breast: malignancy score 0.71, above threshold 0.50." in one for one in words)


def test_measurement_report_codes_every_score(objects: dict[ResultKind, Dataset]) -> None:
    report = objects[ResultKind.MEASUREMENT_REPORT]

    found = [
        (
            concept(item),
            item.get("TextValue", ""),
            value_code(child(item, "breast_score") if item.ValueType == "TEXT" else item),
            float(child(item, "111012").MeasuredValueSequence[0].NumericValue),
        )
        for _, item in walk(report)
        if concept(item) in {"exam_score", "breast_score"} and children(item, "111012")
    ]

    # A value of each breast has words, since a reader of the report sees it and nothing below.
    assert found == [
        ("exam_score", "", "malignancy_score", 71.0),
        ("breast_score", "right breast: Malignancy score, 12.0 %", "malignancy_score", 12.0),
        ("breast_score", "left breast: Malignancy score, 71.0 %", "malignancy_score", 71.0),
    ]


def test_coded_scores_state_operating_point_and_aggregation(
    objects: dict[ResultKind, Dataset],
) -> None:
    (item,) = [
        item
        for _, item in walk(objects[ResultKind.MEASUREMENT_REPORT])
        if concept(item) == "exam_score"
    ]

    said = {one.TextValue for one in item.ContentSequence if concept(one) == "111002"}
    assert {
        "threshold 0.5000",
        "score over a breast or the examination: highest of the breasts",
    } <= said


def test_presentation_state_states_the_scores_at_its_foot(
    objects: dict[ResultKind, Dataset],
) -> None:
    texts = [
        text.UnformattedTextValue
        for annotation in objects[ResultKind.PRESENTATION_STATE].GraphicAnnotationSequence
        for text in annotation.TextObjectSequence
    ]

    assert any("Examination: malignancy score 0.71" in text for text in texts)


FULL_SIZE = (3328, 2560)
QUARTER_OF_A_SCREEN = (456, 600)


def picture_with(scores: ExaminationScores) -> NDArray[np.uint8]:
    dataset = mammogram(size=FULL_SIZE)
    image = image_of(dataset, CANCER)
    context = replace(context_of(study_of(image)), scores=scores)
    return compose(show(dataset, breast_pixels(dataset), 2048), image, (), context).pixels


def lines_of(picture: NDArray[np.uint8]) -> list[int]:
    """Return the heights of the lines beside the image, without the first, which names the view."""
    return line_heights(letters_of(picture, TEXT))[1:]


def test_picture_states_the_scores_legibly() -> None:
    picture = picture_with(examination_scores(answer()))

    rows, columns = picture.shape[:2]
    scale = min(QUARTER_OF_A_SCREEN[0] / rows, QUARTER_OF_A_SCREEN[1] / columns)

    stated = lines_of(picture)
    assert len(stated) >= len(lines_of(picture_with(ExaminationScores()))) + 2
    assert max(stated) * scale >= LEAST_CAPITAL


def sheet_lines(scores: ExaminationScores) -> list[int]:
    """Return the heights of the lines in the panel of a sheet."""
    views = [mammogram(view, side) for side, view in standard_views()]
    sources = {str(one.SOPInstanceUID): one for one in views}
    findings = study_of(*(image_of(one, CANCER) for one in views))
    sheet, _ = build_summary_sheet(
        sources,
        findings,
        replace(context_of(findings), scores=scores),
        displays=lambda image: show(
            sources[image.sop_instance_uid], breast_pixels(sources[image.sop_instance_uid])
        ).within(*cell_of(2048)),
        long_side=2048,
    )
    panel = read_back(sheet).pixel_array[:, 2 * cell_of(2048)[1] :]
    return line_heights(letters_of(panel, TEXT))


def test_sheet_states_the_scores() -> None:
    without = sheet_lines(ExaminationScores())

    stated = sheet_lines(examination_scores(answer()))

    assert len(stated) >= len(without) + len(LINES)


def test_scores_stand_on_top_of_the_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    letters = lettering._letters
    monkeypatch.setattr(
        lettering, "_letters", lambda text, size: (drawn.append(text), letters(text, size))[1]
    )

    sheet_lines(examination_scores(answer()))

    words = " ".join(drawn)
    places = [words.index(line) for line in LINES]
    assert places == sorted(places)
    banner = words.index("RESEARCH USE ONLY")
    assert banner < places[0] < words.index("Color and outlines show")


def test_page_to_print_states_the_scores(
    objects: dict[ResultKind, Dataset], tmp_path: Path
) -> None:
    report = objects[ResultKind.PDF_REPORT]
    path = tmp_path / "report.pdf"
    path.write_bytes(report.EncapsulatedDocument[: report.EncapsulatedDocumentLength])
    command = [require_program("pdftotext"), "-layout", path, "-"]

    done = subprocess.run(command, check=True, capture_output=True, timeout=60)

    text = " ".join(done.stdout.decode().split())
    assert all(line in text for line in LINES)


def test_examination_of_which_images_failed_says_so() -> None:
    views = [mammogram(view, side) for side, view in standard_views()]
    read = [image_of(one, NEGATIVE) for one in views if one.ImageLaterality == "R"]
    failed = [
        image_of(one, status=ImageStatus.FAILED, reason="the pixels are cut off")
        for one in views
        if one.ImageLaterality == "L"
    ]
    breasts = breasts_of([*read, *failed])

    lines = examination_scores(study_of(*read, *failed, breasts=breasts)).lines()

    assert [line.split(":")[0] for line in lines] == [
        "Examination, 2 of 4 images failed",
        "Right breast",
    ]


def test_breast_of_which_an_image_failed_says_so() -> None:
    views = [mammogram(view, side) for side, view in standard_views()]
    images = [image_of(one, NEGATIVE) for one in views]
    images[3] = replace(images[3], findings=(), status=ImageStatus.FAILED, reason="cut off")
    breasts = breasts_of(images)

    banner = examination_scores(study_of(*images, breasts=breasts)).banner("L")

    assert [line.split(":")[0] for line in banner] == [
        "Examination, 1 of 4 images failed",
        "Left breast, 1 of 2 images failed",
    ]
