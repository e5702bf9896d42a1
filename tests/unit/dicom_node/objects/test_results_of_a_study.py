"""A study gives one report, a picture for each analysed image, and segmentations where due."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from objects_factory import (
    NEGATIVE,
    STUDY_UID,
    breast_pixels,
    bytes_of,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    source_of,
    study_of,
)
from study_cases import CASES

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.products import ALL, OHIF, PACS, PROFILES, WORKSTATION, Profile
from dicom_node.objects.results import build_results
from dicom_node.objects.sources import SourceInstance
from mammoclip_core.findings import StudyAnalysis

REPORT, SEG, SC = (
    ResultKind.MEASUREMENT_REPORT,
    ResultKind.SEGMENTATION,
    ResultKind.SECONDARY_CAPTURE,
)
CAD, SHEET = ResultKind.CAD_REPORT, ResultKind.SUMMARY_SHEET


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("no finding", {REPORT: 1, SC: 1}),
        ("one finding", {REPORT: 1, SC: 1, SEG: 1}),
        ("four views", {REPORT: 1, SC: 4, SEG: 4}),
        ("failed image", {REPORT: 1, SC: 1}),
        ("left-out image", {REPORT: 1, SC: 1, SEG: 1}),
    ],
)
def test_study_gives_the_objects_that_are_due(case: str, expected: dict[ResultKind, int]) -> None:
    assert Counter(result.kind for result in CASES[case]()) == expected


def built_for(*profiles: Profile):
    dataset = mammogram()
    return results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))), profiles=profiles
    )


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (OHIF, {REPORT: 1, SC: 1, SEG: 1}),
        (WORKSTATION, {CAD: 1, SC: 1, SHEET: 1}),
        (PACS, {REPORT: 1, SC: 1, SHEET: 1}),
        (ALL, {REPORT: 1, CAD: 1, SC: 1, SEG: 1, SHEET: 1}),
    ],
)
def test_profile_gives_its_objects(profile: Profile, expected: dict[ResultKind, int]) -> None:
    assert Counter(result.kind for result in built_for(profile)) == expected


def test_what_two_profiles_share_is_made_once() -> None:
    results = built_for(OHIF, WORKSTATION, PACS)

    assert Counter(result.kind for result in results) == {
        REPORT: 2,
        CAD: 1,
        SC: 1,
        SEG: 1,
        SHEET: 1,
    }
    assert len({result.dataset.SOPInstanceUID for result in results}) == len(results)


@pytest.mark.parametrize("name", PROFILES)
def test_every_result_is_a_product_of_its_profile(name: str) -> None:
    results = built_for(PROFILES[name])

    assert {result.product for result in results} == set(PROFILES[name].products)


@pytest.mark.parametrize("name", PROFILES)
def test_report_lists_only_what_the_same_destination_gets(name: str) -> None:
    profile = PROFILES[name]
    results = built_for(OHIF, PACS, ALL, profile)
    reports = [result for result in results if result.product == profile.product(REPORT)]

    for report in reports:
        evidence = {
            instance.ReferencedSOPInstanceUID
            for study in report.dataset.CurrentRequestedProcedureEvidenceSequence
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }
        sent = {
            result.dataset.SOPInstanceUID for result in results if result.product in profile.parts
        }
        assert evidence == sent | {str(mammogram().SOPInstanceUID)}


def test_profile_without_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="sends nothing"):
        Profile(objects=frozenset())


def test_report_comes_last() -> None:
    assert CASES["four views"]()[-1].kind is REPORT


def test_pictures_are_numbered_as_mammograms_are_hung() -> None:
    pictures = [r.dataset for r in CASES["four views"]() if r.kind is SC]

    hung = [(d.InstanceNumber, d.ImageLaterality, d.ViewPosition) for d in pictures]
    assert hung == [(1, "R", "CC"), (2, "L", "CC"), (3, "R", "MLO"), (4, "L", "MLO")]


def test_result_names_the_image_that_it_is_for() -> None:
    results = CASES["one finding"]()

    named = [result.source_sop_instance_uid for result in results]
    assert named == [mammogram().SOPInstanceUID, mammogram().SOPInstanceUID, None]


def test_order_of_sources_does_not_change_a_byte() -> None:
    datasets = [mammogram("CC"), mammogram("MLO")]
    findings = study_of(*(image_of(d, finding(marker_mask(60, 150))) for d in datasets))
    sources = [source_of(dataset) for dataset in datasets]

    first, second = (
        build_results(order, StudyAnalysis(findings=findings), identity())
        for order in (sources, sources[::-1])
    )

    assert [bytes_of(r.dataset) for r in first] == [bytes_of(r.dataset) for r in second]


def test_sources_are_left_as_they_were() -> None:
    dataset = mammogram()
    before = dataset.to_json()

    build_results(
        [source_of(dataset)],
        StudyAnalysis(findings=study_of(image_of(dataset, finding(marker_mask(60, 150))))),
        identity(),
    )

    assert dataset.to_json() == before


def test_pixels_may_be_given_as_an_array() -> None:
    dataset = mammogram()
    source = SourceInstance(dataset=dataset, pixels=breast_pixels(dataset))
    analysis = StudyAnalysis(findings=study_of(image_of(dataset, NEGATIVE)))

    assert len(build_results([source], analysis, identity())) == 2


def test_analysed_image_without_pixels_is_refused() -> None:
    dataset = mammogram()
    analysis = StudyAnalysis(findings=study_of(image_of(dataset, NEGATIVE)))

    with pytest.raises(ObjectRefusedError, match="pixels"):
        build_results([SourceInstance(dataset=dataset)], analysis, identity())


def test_image_that_is_no_source_is_refused() -> None:
    other = mammogram("CC")
    analysis = StudyAnalysis(findings=study_of(image_of(other, NEGATIVE)))

    with pytest.raises(ObjectRefusedError, match=other.SOPInstanceUID):
        build_results([source_of(mammogram())], analysis, identity())


def test_answer_for_a_frame_that_is_not_there_is_refused() -> None:
    dataset = mammogram()
    frames = [replace(image_of(dataset, NEGATIVE), frame=number) for number in (1, 2)]

    with pytest.raises(ObjectRefusedError, match=r"1 frames \(NumberOfFrames\).*frame 2"):
        build_results([source_of(dataset)], StudyAnalysis(findings=study_of(*frames)), identity())


def test_study_without_sources_is_refused() -> None:
    with pytest.raises(ObjectRefusedError, match=STUDY_UID):
        build_results([], StudyAnalysis(findings=study_of()), identity())


def test_failed_image_needs_no_pixels() -> None:
    results = CASES["failed image"]()

    assert np.sum([result.kind is SC for result in results]) == 1


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        identity(created_at=identity().created_at.replace(tzinfo=None))
