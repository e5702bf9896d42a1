"""The demonstration succeeds only where everything came back that should."""

import json

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, SegmentationStorage

from deploy.demo.outcome import outcome_of, shortcomings
from mammoclip_core.findings import (
    BundleIdentity,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    StudyFindings,
)
from mammoclip_core.findings_document import to_json

STUDY = "1.2.3"
PLAIN, MARKED = "1.2.3.1", "1.2.3.2"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


def test_complete_study_has_no_shortcoming():
    assert shortcomings(outcome()) == []


def test_missing_report_is_a_shortcoming():
    assert shortcomings(outcome(reports=0)) == ["0 reports instead of 1"]


def test_second_report_is_a_shortcoming():
    assert shortcomings(outcome(reports=2)) == ["2 reports instead of 1"]


def test_missing_picture_is_named_by_its_image():
    assert shortcomings(outcome(pictures=[MARKED])) == [f"no picture of image {PLAIN}"]


def test_doubled_picture_is_a_shortcoming():
    found = shortcomings(outcome(pictures=[PLAIN, MARKED, MARKED]))

    assert found == [f"a picture too many of image {MARKED}"]


def test_image_with_region_needs_a_segmentation():
    assert shortcomings(outcome(segmentations=[])) == [f"no segmentation of image {MARKED}"]


def test_image_without_region_must_have_no_segmentation():
    found = shortcomings(outcome(segmentations=[MARKED, PLAIN]))

    assert found == [f"a segmentation too many of image {PLAIN}"]


def test_object_of_another_study_is_a_shortcoming():
    whole = outcome()
    whole.reports[0].StudyInstanceUID = "1.2.4"

    assert shortcomings(whole) == ["object 1.9.0 is in another study"]


@pytest.mark.parametrize("condition", ["failed", "refused", "nothing-to-analyse"])
def test_study_that_was_not_delivered_says_why(condition):
    found = shortcomings(outcome(condition=condition, reason="the reason"))

    assert found == [f"not delivered ({condition}): the reason"]


def outcome(
    *,
    condition="delivered",
    reason="",
    reports=1,
    pictures=(PLAIN, MARKED),
    segmentations=(MARKED,),
):
    record = {
        "summary": {"study_instance_uid": STUDY, "condition": condition, "reason": reason},
        "instances": [],
        "analyses": [{"findings": to_json(findings())}],
    }
    objects = [report(number) for number in range(reports)]
    objects += [picture(uid) for uid in pictures]
    objects += [segmentation(uid) for uid in segmentations]
    return outcome_of("study", json.loads(json.dumps(record)), objects)


def findings():
    region = Region(
        outline=((0.0, 0.0), (4.0, 0.0), (4.0, 4.0)),
        box=(0, 0, 4, 4),
        area_pixels=8,
        peak=(2.0, 1.0),
        activation=1.0,
    )
    return StudyFindings(
        study_instance_uid=STUDY,
        bundle=BundleIdentity(
            name="b", version="1", sha256="0" * 64, licence="x", permitted_use="y"
        ),
        settings_sha256="0" * 64,
        images=(image(PLAIN, ()), image(MARKED, (region,))),
    )


def image(uid, regions):
    mass = Finding(
        name="mass",
        code="SCT|4147007|Mass",
        score=0.5,
        calibrated=False,
        above_threshold=bool(regions),
        source=FindingSource.PROMPT,
        method=LocalisationMethod.CAM,
        regions=regions,
    )
    return ImageFindings(sop_instance_uid=uid, status=ImageStatus.ANALYSED, findings=(mass,))


def report(number):
    return _object(COMPREHENSIVE_3D_SR, f"1.9.{number}")


def picture(of):
    dataset = _object(SecondaryCaptureImageStorage, f"{of}.8")
    dataset.SourceImageSequence = [_reference(of)]
    return dataset


def segmentation(of):
    dataset = _object(SegmentationStorage, f"{of}.9")
    series = Dataset()
    series.ReferencedInstanceSequence = [_reference(of)]
    dataset.ReferencedSeriesSequence = [series]
    return dataset


def _object(sop_class_uid, sop_instance_uid):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, sop_instance_uid
    dataset.StudyInstanceUID = STUDY
    return dataset


def _reference(uid):
    item = Dataset()
    item.ReferencedSOPInstanceUID = uid
    return item
