"""A lesion has one number in all objects and on all its views, and its place stands beside it."""

import re
from dataclasses import replace

import pytest
from every_kind import EVERY_KIND, QUADRANT, linked, objects_of
from objects_factory import finding, image_of, mammogram, marker_mask, results_of, standard_views
from pdf_reading import pdf_in, text_of
from pydicom.dataset import Dataset
from sr_reading import child, children, concept, read_back, value_code, walk

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing.picture import finding_paragraphs
from dicom_node.objects.findings.lesions import lesion_sentences, lesion_views, place_text
from dicom_node.objects.results import ResultObject
from mammoclip_core.findings import ImageFindings
from mammoclip_core.lesion_location import Depth, Location, Side

LESIONS = "one lesion in two views"
NUMBER, QUADRANT_CODE, DEPTH, SITE = "lesion_number", "111048", "111020", "363698007"
LINK = "taken for the same lesion by software"


def read(kind: ResultKind, study: str = LESIONS) -> list[Dataset]:
    return [read_back(one.dataset) for one in objects_of(study) if one.kind is kind]


def groups(report: Dataset) -> list[Dataset]:
    return [item for _, item in walk(report) if concept(item) == "125007"]


def numbers_in(results: tuple[ResultObject, ...], kind: ResultKind) -> list[list[str]]:
    """Return the numbers that segments or labels of each object begin with."""
    texts = []
    for one in results:
        if one.kind is kind is ResultKind.SEGMENTATION:
            texts.append([item.SegmentLabel for item in one.dataset.SegmentSequence])
        elif one.kind is kind:
            texts.append(
                [
                    text.UnformattedTextValue
                    for annotation in one.dataset.GraphicAnnotationSequence
                    for text in annotation.TextObjectSequence
                    if text.BoundingBoxAnnotationUnits == "PIXEL"
                ]
            )
    return [[text.split()[0] for text in own] for own in texts]


def test_groups_of_one_lesion_share_its_number_and_are_tracked_apart() -> None:
    (report,) = read(ResultKind.MEASUREMENT_REPORT)

    found = groups(report)

    numbers = [child(group, NUMBER).ConceptCodeSequence[0].CodeMeaning for group in found]
    assert sorted(numbers) == ["1", "2", "2"]
    assert len({child(group, "112040").UID for group in found}) == 3
    assert len({child(group, "112039").TextValue for group in found}) == 3


def test_labels_in_the_report_begin_with_the_number_of_the_lesion() -> None:
    (report,) = read(ResultKind.MEASUREMENT_REPORT)

    for group in groups(report):
        number = child(group, NUMBER).ConceptCodeSequence[0].CodeMeaning
        labels = [
            item.ConceptNameCodeSequence[0].CodeMeaning
            for item in group.ContentSequence
            if item.ValueType == "NUM"
        ]
        assert any(label.startswith(f"{number} mass, ") for label in labels)


def test_quadrant_and_depth_are_coded_in_the_report() -> None:
    (report,) = read(ResultKind.MEASUREMENT_REPORT)

    for group in groups(report):
        (site,) = children(group, SITE)
        halves = [value_code(item) for item in children(site, "106233006")]
        if child(group, NUMBER).ConceptCodeSequence[0].CodeMeaning == "2":
            assert value_code(child(group, QUADRANT_CODE)) == "76365002"
            assert value_code(child(group, DEPTH)) == "C25569"
            assert halves == []
        else:
            assert children(group, QUADRANT_CODE) == []
            assert value_code(child(group, DEPTH)) == "255549009"
            assert halves == ["255561001"]


@pytest.mark.parametrize("kind", [ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT])
def test_reports_say_in_words_where_each_lesion_is(kind: ResultKind) -> None:
    (report,) = read(kind)

    words = " ".join(item.TextValue for _, item in walk(report) if item.get("ValueType") == "TEXT")

    assert "Lesion 2, mass: L CC and L MLO, upper outer quadrant, middle third." in words
    assert "Lesion 1, mass: R CC, inner half, anterior third." in words
    assert words.count(LINK) == 1


def test_cad_report_has_a_composite_feature_over_the_marks_of_both_views() -> None:
    (report,) = read(ResultKind.CAD_REPORT)

    (composite,) = [item for _, item in walk(report) if concept(item) == "111015"]

    assert value_code(composite) == "129788004"
    assert composite.RelationshipType == "CONTAINS"
    assert value_code(child(composite, "111016")) == "111154"
    assert value_code(child(composite, "111057")) == "111158"
    assert value_code(child(composite, "111056")) == "111150"
    single = children(composite, "111059")
    assert [item.RelationshipType for item in single] == ["INFERRED FROM"] * 2
    assert len({child(item, "112040").UID for item in single}) == 2
    assert {value_code(child(item, "111056")) for item in single} == {"111150"}


def test_cad_report_has_the_lesion_of_one_view_as_a_mark_alone() -> None:
    (report,) = read(ResultKind.CAD_REPORT)

    alone = [item for _, item in walk(report) if concept(item) == "111034"]

    assert sorted(len(children(item, "111059")) for item in alone) == [0, 1]


@pytest.mark.parametrize("kind", [ResultKind.SEGMENTATION, ResultKind.PRESENTATION_STATE])
def test_segments_and_labels_begin_with_the_number_of_the_lesion(kind: ResultKind) -> None:
    found = numbers_in(objects_of(LESIONS), kind)

    assert sorted(found) == [["1"], ["2"], ["2"]]


def test_segment_says_where_its_lesion_lies() -> None:
    descriptions = sorted(
        one.SegmentSequence[0].SegmentDescription for one in read(ResultKind.SEGMENTATION)
    )

    assert descriptions[0].endswith(", inner half, anterior third")
    assert all(one.endswith(", upper outer quadrant, middle third") for one in descriptions[1:])


def test_page_to_print_says_where_each_lesion_is() -> None:
    (report,) = read(ResultKind.PDF_REPORT)

    text = re.sub(r"\s+", " ", text_of(pdf_in(report)))

    assert "2 upper outer quadrant, middle third, also on L MLO" in text
    assert "2 upper outer quadrant, middle third, also on L CC" in text
    assert "1 inner half, anterior third" in text


def two_views(*, linked_by: int = 2) -> tuple[ImageFindings, ImageFindings]:
    cc, mlo = (
        image_of(one, finding(marker_mask(60, 150))) for one in map(mammogram, ("CC", "MLO"))
    )
    return linked(cc, linked_by), linked(mlo, linked_by)


def test_words_beside_a_picture_name_number_place_and_the_other_view() -> None:
    images = two_views()
    context = replace(_context_of(), lesions=lesion_views(images))

    for image, other in zip(images, ("L MLO", "L CC"), strict=True):
        texts = [one.text for one in finding_paragraphs(image, context)]
        assert texts == [
            "2 mass score 0.83",
            f"2 upper outer quadrant, middle third, also on {other}",
        ]


def _context_of():
    from objects_factory import context_of, study_of

    return context_of(study_of(*two_views()))


def test_regions_that_lie_alike_are_placed_together() -> None:
    image = image_of(mammogram(), finding(*[marker_mask(60, 20 + 60 * row) for row in range(5)]))
    (mass,) = image.findings
    below = Location(depth=Depth.ANTERIOR)
    locations = (QUADRANT, QUADRANT, below, QUADRANT, QUADRANT)
    regions = tuple(
        replace(region, location=location)
        for region, location in zip(mass.regions, locations, strict=True)
    )
    image = replace(image, findings=(replace(mass, regions=regions),))

    assert place_text(image, lesion_views([image])) == (
        "1, 2, 4, 5 upper outer quadrant, middle third; 3 anterior third"
    )


def test_nothing_is_said_of_the_place_of_a_region_where_it_is_not_known() -> None:
    image = image_of(mammogram(), finding(marker_mask(60, 150)))

    assert place_text(image, lesion_views([image])) == ""
    assert list(lesion_sentences([image], lesion_views([image]))) == []


def test_region_below_its_threshold_has_a_number_and_no_place_in_words() -> None:
    image = linked(image_of(mammogram(), finding(marker_mask(60, 150))), 1)
    (mass,) = image.findings
    region = replace(mass.regions[0], score_of="region", score=0.1, above_threshold=False)
    image = replace(image, findings=(replace(mass, regions=(region,)),))

    assert place_text(image, lesion_views([image])) == ""
    assert list(lesion_sentences([image], lesion_views([image]))) == []


def test_lesion_of_several_findings_is_one_composite_of_their_marks() -> None:
    calcification = finding(
        marker_mask(60, 150), name="suspicious_calcification", code="SCT|129769006|Cluster"
    )
    pairs = []
    for view, found in (("CC", finding(marker_mask(60, 150))), ("MLO", calcification)):
        dataset = mammogram(view)
        pairs.append((dataset, linked(image_of(dataset, found), 1)))
    results = results_of(*pairs, profiles=(EVERY_KIND,))
    (report,) = [one.dataset for one in results if one.kind is ResultKind.CAD_REPORT]

    (composite,) = [item for _, item in walk(report) if concept(item) == "111015"]

    assert value_code(composite) == "129793001"


def test_regions_of_a_document_without_numbers_have_numbers_of_their_own() -> None:
    pairs = []
    for side, view in standard_views():
        dataset = mammogram(view, side)
        pairs.append((dataset, image_of(dataset, finding(marker_mask(60, 150)))))

    results = results_of(*pairs, profiles=(EVERY_KIND,))

    for kind in (ResultKind.SEGMENTATION, ResultKind.PRESENTATION_STATE):
        assert sorted(numbers_in(results, kind)) == [["1"], ["2"], ["3"], ["4"]]
    (report,) = [one.dataset for one in results if one.kind is ResultKind.MEASUREMENT_REPORT]
    assert [
        child(group, NUMBER).ConceptCodeSequence[0].CodeMeaning for group in groups(report)
    ] == ["1", "2", "3", "4"]
    (cad,) = [one.dataset for one in results if one.kind is ResultKind.CAD_REPORT]
    assert not [item for _, item in walk(cad) if concept(item) == "111015"]


SAYING = frozenset(
    {
        *(ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT, ResultKind.SEGMENTATION),
        *(ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET, ResultKind.PDF_REPORT),
    }
)
"""Kinds that state number and place; a presentation state has the number alone."""


@pytest.mark.parametrize(
    ("lesion", "location", "kinds"),
    [
        (7, QUADRANT, SAYING | {ResultKind.PRESENTATION_STATE}),
        (1, None, SAYING),
        (1, Location(depth=Depth.MIDDLE, side=Side.OUTER), SAYING),
    ],
)
def test_what_states_a_lesion_is_another_object_when_the_lesion_changes(
    lesion: int, location: Location | None, kinds: frozenset[ResultKind]
) -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150)))

    before, after = (
        {
            one.kind: str(one.dataset.SOPInstanceUID)
            for one in results_of((dataset, answer), profiles=(EVERY_KIND,))
        }
        for answer in (linked(image, 1), linked(image, lesion, location))
    )

    assert {kind for kind in kinds if before[kind] != after[kind]} == kinds
