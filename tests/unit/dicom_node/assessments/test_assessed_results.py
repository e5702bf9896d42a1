"""What readers' reports say, in the forms of several makers."""

from pathlib import Path

import pytest
from assessing_reader import (
    coded,
    decided,
    group,
    item,
    reader_report,
    reference,
    said,
    tracked,
)
from pydicom.dataset import Dataset

from dicom_node.assessments.reading import UnreadableAssessmentError, assessments_in
from dicom_node.facts.assessed_results import Decision, read_assessments

ACCEPTED = coded("A", "99PACS", "Accepted")
REJECTED = coded("R", "99PACS", "Rejected")
REASON = coded("why", "99PACS", "Reason")
TRACKING_ID = coded("112039", "DCM", "Tracking Identifier")


def read(tmp_path: Path, *content: Dataset, **decisions: Decision) -> list[tuple[str, ...]]:
    file = tmp_path / "report.dcm"
    reader_report("1.2.3", "1.2.3.4", *content).save_as(file, enforce_file_format=True)
    report = read_assessments(file, {"99PACS:X": Decision.MODIFIED, **decisions})
    return [(one.decision, one.tracking_uid, one.sop_instance_uid) for one in report.assessed]


def test_decision_is_tied_to_the_finding_of_its_group(tmp_path: Path) -> None:
    content = [
        group(tracked("1.1"), decided(ACCEPTED)),
        group(decided(REJECTED), tracked("1.2")),
    ]

    assert read(tmp_path, *content) == [("accepted", "1.1", ""), ("rejected", "1.2", "")]


def test_finding_below_the_decision_counts_before_that_of_the_group(tmp_path: Path) -> None:
    content = group(tracked("1.1"), decided(ACCEPTED, tracked("1.2")), decided(REJECTED))

    assert read(tmp_path, content) == [("accepted", "1.2", ""), ("rejected", "1.1", "")]


def test_decision_is_tied_to_an_object_without_a_tracking_uid(tmp_path: Path) -> None:
    composite = item(
        "COMPOSITE", None, ReferencedSOPSequence=[reference("1.2.840.10008.5.1.4.1.1.88.34", "9.9")]
    )

    assert read(tmp_path, group(composite, decided(ACCEPTED))) == [("accepted", "", "9.9")]


def test_decision_on_the_whole_report_is_kept_without_a_finding(tmp_path: Path) -> None:
    assert read(tmp_path, decided(ACCEPTED)) == [("accepted", "", "")]


@pytest.mark.parametrize(
    ("meaning", "decision"),
    [
        ("Accepted", ["accepted"]),
        ("Reader agrees", ["accepted"]),
        ("Confirmed by radiologist", ["accepted"]),
        ("Rejected", ["rejected"]),
        ("Disagree", ["rejected"]),
        ("Not accepted", ["rejected"]),
        ("False positive", ["rejected"]),
        ("Accepted with modifications", ["modified"]),
        ("Edited", ["modified"]),
        ("Accepted without modification", ["accepted"]),
        ("Agree, unchanged", ["accepted"]),
        ("Not confirmed", ["rejected"]),
        ("Does not agree", ["rejected"]),
        ("Unchanged", []),
        ("Unconfirmed", []),
        ("Left breast", []),
    ],
)
def test_meaning_of_an_unknown_code_decides(
    tmp_path: Path, meaning: str, decision: list[str]
) -> None:
    code = coded("Z", "99PACS", meaning)

    assert [one for one, *_ in read(tmp_path, decided(code))] == decision


def test_code_in_the_settings_decides_before_its_words(tmp_path: Path) -> None:
    assert read(tmp_path, decided(coded("X", "99PACS", "Accepted")))[0][0] == "modified"


def test_side_reader_and_time_are_read(tmp_path: Path) -> None:
    site = item(
        "CODE",
        coded("363698007", "SCT", "Finding Site"),
        item(
            "CODE",
            coded("272741003", "SCT", "Laterality"),
            ConceptCodeSequence=[coded("24028007", "SCT", "Right")],
        ),
        ConceptCodeSequence=[coded("76752008", "SCT", "Breast")],
    )
    file = tmp_path / "report.dcm"
    made = reader_report("1.2.3", "1.2.3.4", group(site, decided(ACCEPTED)))
    made.save_as(file, enforce_file_format=True)

    report = read_assessments(file, {})

    assert report.reader == "Reader^Rita"
    assert report.assessed_at == "20261129081500+0100"
    assert report.references == ("1.2.3.4",)
    assert report.assessed[0].laterality == "R"


@pytest.mark.parametrize(
    ("content", "comment"),
    [
        (group(decided(ACCEPTED, said("a cyst", REASON)), said("seen")), "a cyst"),
        (group(said("seen by ultrasound"), decided(ACCEPTED)), "seen by ultrasound"),
        (group(decided(ACCEPTED), said("R1", TRACKING_ID)), ""),
        (group(decided(ACCEPTED), said("x" * 3000)), "x" * 1024),
    ],
    ids=["below", "beside", "no comment", "long"],
)
def test_comment_is_that_nearest_to_the_decision(
    tmp_path: Path, content: Dataset, comment: str
) -> None:
    file = tmp_path / "report.dcm"
    reader_report("1.2.3", "1.2.3.4", content).save_as(file, enforce_file_format=True)

    (assessed,) = read_assessments(file, {}).assessed

    assert assessed.comment == comment


def nested(depth: int) -> Dataset:
    made = decided(ACCEPTED)
    for _ in range(depth):
        made = group(made)
    return made


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: b"no DICOM", marks=pytest.mark.long),
        lambda: nested(40),
    ],
)
def test_report_that_is_none_is_refused_in_a_process_of_its_own(
    tmp_path: Path, content: object
) -> None:
    file = tmp_path / "report.dcm"
    made = content()  # type: ignore[operator]
    if isinstance(made, bytes):
        file.write_bytes(made)
    else:
        items = made if isinstance(made, list) else [made]
        reader_report("1.2", "1.3", *items).save_as(file, enforce_file_format=True)

    with pytest.raises(UnreadableAssessmentError):
        assessments_in(file, {})


@pytest.mark.long
def test_report_with_more_decisions_than_any_reader_gives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than 10000 decisions"):
        read(tmp_path, *(decided(ACCEPTED) for _ in range(10_001)))


def test_file_that_is_away_is_no_damaged_report(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="at present"):
        assessments_in(tmp_path / "none.dcm", {})
