"""A region keeps its tracking UID and identifier in all objects and all revisions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from every_kind import EVERY_KIND
from objects_factory import (
    BUNDLE,
    NEGATIVE,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    study_of,
)
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.results import ResultObject
from dicom_node.objects.terms.wording import tracking_id_of, words_of
from dicom_node.objects.uids import StudyUIDs
from mammoclip_core.findings import BreastFindings, Finding

TRACKING_KINDS = (
    ResultKind.MEASUREMENT_REPORT,
    ResultKind.CAD_REPORT,
    ResultKind.SEGMENTATION,
    ResultKind.PRESENTATION_STATE,
)
FINDINGS = (
    finding(marker_mask(20, 120), marker_mask(90, 200)),
    finding(marker_mask(90, 200), name="malignancy", code="", score=0.6),
)


def tracked_in(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield identifier and UID of everything that an object tracks."""
    if "TrackingUID" in dataset:
        yield str(dataset.TrackingID), str(dataset.TrackingUID)
    items = [item for element in dataset if element.VR == "SQ" for item in element.value]
    names = {
        item.ConceptNameCodeSequence[0].CodeValue: item
        for item in items
        if "ConceptNameCodeSequence" in item
    }
    if "112040" in names:
        yield str(names["112039"].TextValue), str(names["112040"].UID)
    for item in items:
        yield from tracked_in(item)


def built(*findings: Finding, views: Sequence[str] = ("MLO",), **more: Any) -> Any:
    pairs = [(dataset, image_of(dataset, *findings)) for dataset in map(mammogram, views)]
    return results_of(*pairs, profiles=(EVERY_KIND,), **more)


def tracked(results: Sequence[ResultObject], kind: ResultKind) -> set[tuple[str, str]]:
    return {pair for one in results if one.kind is kind for pair in tracked_in(one.dataset)}


@pytest.mark.parametrize("kind", TRACKING_KINDS)
def test_each_region_is_tracked_by_the_same_names_in_every_object(kind: ResultKind) -> None:
    results = built(*FINDINGS)

    names = tracked(results, kind)

    assert names == tracked(results, ResultKind.MEASUREMENT_REPORT)
    assert len(names) == len({uid for _, uid in names}) == 3
    assert len({identifier for identifier, _ in names}) == 3


@pytest.mark.parametrize("kind", TRACKING_KINDS)
def test_region_keeps_its_names_when_another_image_comes_late(kind: ResultKind) -> None:
    before = built(*FINDINGS)

    after = built(*FINDINGS, views=("MLO", "CC"), identity=identity(2))

    assert tracked(before, kind) < tracked(after, kind)


def test_region_keeps_its_uid_when_score_threshold_and_outline_change() -> None:
    (mark,) = finding(marker_mask(20, 120)).regions
    shrunk = replace(mark, outline=mark.outline[2:-2], box=(21.0, 121.0, 50.0, 160.0))
    before = finding(marker_mask(20, 120))
    after = replace(before, score=0.4, above_threshold=False, regions=(shrunk,))

    uids = [StudyUIDs.of(study_of()).tracking_uid("1.2.3", one, 0) for one in (before, after)]

    assert uids[0] == uids[1]


def test_region_keeps_its_uid_when_another_one_comes_before_it() -> None:
    one, two = (finding(marker_mask(left, 120)).regions[0] for left in (20, 90))
    uids = StudyUIDs.of(study_of())
    alone, behind = (replace(NEGATIVE, regions=regions) for regions in ((two,), (one, two)))

    assert uids.tracking_uid("1.2.3", alone, 0) == uids.tracking_uid("1.2.3", behind, 1)


@pytest.mark.parametrize("kind", TRACKING_KINDS)
def test_region_keeps_its_names_when_another_one_of_its_finding_comes_before_it(
    kind: ResultKind,
) -> None:
    one, two = (marker_mask(left, 120) for left in (20, 90))

    before, after = built(finding(two)), built(finding(one, two))

    assert tracked(before, kind) < tracked(after, kind)


def test_regions_of_one_peak_are_told_apart() -> None:
    (mark,) = finding(marker_mask(20, 120)).regions
    twice = replace(NEGATIVE, regions=(mark, mark))
    uids = StudyUIDs.of(study_of())

    assert uids.tracking_uid("1.2.3", twice, 0) != uids.tracking_uid("1.2.3", twice, 1)
    image = image_of(mammogram(), twice)
    assert tracking_id_of(image, twice, 0) != tracking_id_of(image, twice, 1)


def test_peak_that_differs_by_rounding_is_the_same_region() -> None:
    (mark,) = finding(marker_mask(20, 120)).regions
    column, row = mark.peak
    near = replace(mark, peak=(column + 1e-4, row - 1e-4))
    uids = StudyUIDs.of(study_of())
    both = [replace(NEGATIVE, regions=(region,)) for region in (mark, near)]

    assert len({uids.tracking_uid("1.2.3", one, 0) for one in both}) == 1


def test_another_model_another_image_and_another_finding_are_tracked_apart() -> None:
    uids = StudyUIDs.of(study_of())
    other = StudyUIDs.of(replace(study_of(), bundle=replace(BUNDLE, sha256="ef" * 32)))
    one, two = FINDINGS

    names = {
        uids.tracking_uid("1.2.3", one, 1),
        other.tracking_uid("1.2.3", one, 1),
        uids.tracking_uid("1.2.4", one, 1),
        uids.tracking_uid("1.2.3", two, 0),
        uids.tracking_uid("1.2.3", one),
    }

    assert len(names) == 5


ALIKE = (
    (f"{'a_long_name_' * 5}left", f"{'a_long_name_' * 5}right"),
    (f"{'a' * 60}_b_{'a' * 60}", f"{'a' * 60}_c_{'a' * 60}"),
    ("乳腺", "腫瘤"),
    ("scar_größe", "scar_große"),
    ("axillary_node", "axillary node"),
)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_findings_of_names_that_look_alike_have_identifiers_of_their_own(
    one: str, other: str
) -> None:
    placed = [finding(marker_mask(20, 120), name=name, code="") for name in (one, other)]

    results = built(*placed, breasts=(BreastFindings(laterality="L", findings=tuple(placed)),))

    for kind in TRACKING_KINDS:
        names = tracked(results, kind)
        assert len({identifier for identifier, _ in names}) == len(names) >= 2


def test_words_of_a_long_name_keep_its_end() -> None:
    one, other = (words_of(f"{'a_long_name_' * 5}{end}") for end in ("left", "right"))

    assert one != other
    assert one.startswith("a long name") and one.endswith("left")
    assert len(one) <= 40
