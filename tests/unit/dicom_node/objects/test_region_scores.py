"""Each region has its own score and its own side of the threshold, in every object."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from every_kind import BOXES, EVERY_KIND, boxed, objects_of
from objects_factory import finding, image_of, mammogram, marker_mask, results_of
from pydicom.dataset import Dataset
from sr_reading import child, children, concept, points_of, read_back, value_code, walk

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing.captions import captions_of
from mammoclip_core.findings import ImageFindings, Region

SCORES = (92.0, 22.0, 6.0)


@pytest.fixture
def objects() -> Mapping[ResultKind, Dataset]:
    return {one.kind: read_back(one.dataset) for one in objects_of("several detector boxes")}


def image_with(*regions: Region) -> ImageFindings:
    return image_of(mammogram(), boxed(*regions))


def texts_of(regions: Sequence[Region]) -> list[str]:
    return [text for _, text in captions_of(image_with(*regions))]


def with_scores(*scores: float) -> list[Region]:
    return [
        Region(
            outline=((0.0, 0.0), (9.0, 0.0), (9.0, 9.0)),
            box=(0.0, 0.0, 9.0, 9.0),
            area_pixels=40,
            peak=(4.0, 4.0),
            activation=score,
            score_of=BOXES[0].score_of,
            score=score,
            above_threshold=score >= 0.5,
        )
        for score in scores
    ]


def percent(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def test_measurement_report_gives_each_box_its_score(
    objects: Mapping[ResultKind, Dataset],
) -> None:
    groups = [i for _, i in walk(objects[ResultKind.MEASUREMENT_REPORT]) if concept(i) == "125007"]

    assert tuple(percent(child(group, "111012")) for group in groups) == SCORES


def test_measurement_report_calls_boxes_below_the_threshold_optional(
    objects: Mapping[ResultKind, Dataset],
) -> None:
    groups = [i for _, i in walk(objects[ResultKind.MEASUREMENT_REPORT]) if concept(i) == "125007"]

    intents = [[value_code(item) for item in children(group, "111056")] for group in groups]
    assert intents == [[], ["111151"], ["111151"]]


def test_cad_report_gives_each_box_its_score_and_operating_point(
    objects: Mapping[ResultKind, Dataset],
) -> None:
    found = [i for _, i in walk(objects[ResultKind.CAD_REPORT]) if concept(i) == "111059"]

    intents = [child(mark, "111056") for mark in found]
    assert tuple(percent(child(mark, "111012")) for mark in found) == SCORES
    assert [value_code(intent) for intent in intents] == ["111150", "111151", "111151"]
    points = [[percent(point) for point in children(intent, "111071")] for intent in intents]
    assert points == [[], [78.0], [94.0]]


def test_segments_below_the_threshold_say_so_and_are_darker(
    objects: Mapping[ResultKind, Dataset],
) -> None:
    segments = objects[ResultKind.SEGMENTATION].SegmentSequence

    assert [segment.SegmentLabel for segment in segments] == [
        "1 AI detector box: mass",
        "2 AI detector box: mass, below threshold",
        "3 AI detector box: mass, below threshold",
    ]
    assert [segment.SegmentDescription for segment in segments] == [
        "Region by detector box, score 0.92",
        "Region by detector box, score 0.22, below threshold",
        "Region by detector box, score 0.06, below threshold",
    ]
    lightness = [segment.RecommendedDisplayCIELabValue[0] for segment in segments]
    assert lightness[0] > lightness[1] == lightness[2]


@pytest.mark.parametrize("name", ["a_name_of_very_many_letters_" * 3 + "left", "乳腺"])
def test_segment_of_any_name_says_that_it_is_below_the_threshold(name: str) -> None:
    dataset = mammogram(size=(400, 296))
    image = image_of(dataset, replace(boxed(*BOXES), name=name, code=""))

    results = results_of((dataset, image), profiles=(EVERY_KIND,))

    (segmentation,) = (one.dataset for one in results if one.kind is ResultKind.SEGMENTATION)
    for segment, box in zip(segmentation.SegmentSequence, BOXES, strict=True):
        label = segment.SegmentLabel
        assert label.endswith(", below threshold") is not box.above_threshold
        assert len(label) <= 64
        assert "left" in label or not name.isascii()


def test_presentation_state_labels_each_box_with_its_score(
    objects: Mapping[ResultKind, Dataset],
) -> None:
    state = objects[ResultKind.PRESENTATION_STATE]

    texts = [
        text.UnformattedTextValue
        for annotation in state.GraphicAnnotationSequence
        for text in annotation.TextObjectSequence
        if text.BoundingBoxAnnotationUnits == "PIXEL"
    ]
    assert texts == [
        "1 AI mass, score 0.92",
        "2 AI mass, score 0.22, below threshold",
        "3 AI mass, score 0.06, below threshold",
    ]
    layers = [layer.GraphicLayerDescription for layer in state.GraphicLayerSequence]
    assert layers == ["AI: mass", "AI: mass, below threshold"]


def test_outline_of_a_box_below_the_threshold_is_broken_in_the_picture(
    objects: Mapping[ResultKind, Dataset],
) -> None:
    pixels = objects[ResultKind.SECONDARY_CAPTURE].pixel_array.astype(np.int64)
    colored = (pixels.max(axis=2) - pixels.min(axis=2)) > 60
    left, top = _corner_of_the_image(objects)

    shares = []
    for box in BOXES:
        first, upper, last, _ = (round(edge) for edge in box.box)
        line = colored[top + upper - 1 : top + upper + 2, left + first + 12 : left + last - 12]
        shares.append(line.any(axis=0).mean())

    assert shares[0] == 1.0
    assert all(0.2 < share < 0.8 for share in shares[1:])


def _corner_of_the_image(objects: Mapping[ResultKind, Dataset]) -> tuple[int, int]:
    words = objects[ResultKind.SECONDARY_CAPTURE].DerivationDescription
    column, row = re.search(r"column (\d+), row (\d+)", words).groups()
    return int(column), int(row)


def test_tracking_and_places_of_the_boxes_agree(objects: Mapping[ResultKind, Dataset]) -> None:
    tracked = [
        [item.UID for _, item in walk(objects[kind]) if concept(item) == "112040"][:3]
        for kind in (ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT)
    ]
    segments = [one.TrackingUID for one in objects[ResultKind.SEGMENTATION].SegmentSequence]
    outlines = [
        points_of(item)[0]
        for _, item in walk(objects[ResultKind.CAD_REPORT])
        if concept(item) == "111041"
    ]

    assert tracked[0] == tracked[1] == segments
    assert outlines == [box.outline[0] for box in BOXES]


def test_captions_give_each_box_a_line_and_those_below_one_together() -> None:
    assert texts_of(BOXES) == [
        "1 mass score 0.92",
        "2, 3 mass score 0.22 to 0.06, below threshold",
    ]


def test_captions_of_many_boxes_are_a_range() -> None:
    many = with_scores(*(0.99 - 0.01 * number for number in range(30)), *[0.3] * 10)

    assert texts_of(many) == [
        "1-30 mass score 0.99 to 0.70",
        "31-40 mass score 0.30, below threshold",
    ]


def test_finding_that_none_of_its_boxes_reaches_is_told_by_its_own_score() -> None:
    image = image_of(mammogram(), replace(boxed(BOXES[0]), regions=tuple(with_scores(0.3, 0.2))))

    texts = [text for _, text in captions_of(image)]

    assert texts == ["mass score 0.92", "1, 2 mass score 0.30 to 0.20, below threshold"]


def test_regions_of_attention_share_the_score_of_their_finding() -> None:
    image = image_of(mammogram(), finding(marker_mask(20, 120), marker_mask(90, 200)))

    assert [text for _, text in captions_of(image)] == ["1, 2 mass score 0.83"]
    assert [region.score for region in image.findings[0].regions] == [0.83, 0.83]


def test_report_names_whose_score_a_region_has() -> None:
    said = []
    for study in ("one finding", "several detector boxes"):
        (report,) = [o for o in objects_of(study) if o.kind is ResultKind.MEASUREMENT_REPORT]
        items = walk(read_back(report.dataset))
        said.append({item.TextValue for _, item in items if concept(item) == "111002"})

    assert "score of the finding: the region has none of its own" in said[0]
    assert {
        "score of this region alone, above the threshold",
        "score of this region alone, below the threshold",
    } <= said[1]


def test_finding_that_none_of_its_boxes_reaches_is_told_of_its_image_in_reports() -> None:
    dataset = mammogram()
    image = image_of(dataset, replace(boxed(BOXES[0]), regions=BOXES[1:]))

    reports = [
        read_back(one.dataset)
        for one in results_of((dataset, image), profiles=(EVERY_KIND,))
        if one.kind.row.is_report
    ]

    assert len(reports) == 2
    for report in reports:
        certainties = {"111012", "111013"}
        scores = [percent(item) for _, item in walk(report) if concept(item) in certainties]
        assert sorted(scores) == [6.0, 22.0, 92.0]
