"""Reports of readers are kept with the finding they speak of, and never analysed or sent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from assessing_reader import coded, decided, group, reader_report, said, tracked
from node_factory import (
    STUDY_UID,
    Reception,
    analysis_row,
    mammogram,
    result_row,
)
from pydicom.errors import InvalidDicomError
from rich.console import Console
from sqlalchemy import select

from dicom_node.assessments.reading import UnreadableAssessmentError
from dicom_node.assessments.taking import AssessmentTaking
from dicom_node.commands.tables import study_record_tables
from dicom_node.facts.assessed_results import AssessmentReport, Decision, read_assessments
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.assessment_tables import Assessment, AssessmentDocument
from dicom_node.studies.ledger.queries.reading import study_record
from dicom_node.studies.ledger.states import AnalysisState, InstanceState
from dicom_node.studies.ledger.tables import Delivery, Instance, Study

ACCEPTED = coded("A", "99PACS", "Accepted")
RESULT = "1.2.826.0.1.3680043.8.498.77.9"


pytestmark = pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)


@pytest.fixture
def analysed(reception: Reception) -> Reception:
    """Return a node with one study that has a result."""
    reception.receive(mammogram())
    with reception.database.writing() as session:
        study = session.scalars(select(Study)).one()
        done = analysis_row(session, study, state=AnalysisState.DONE)
        result_row(session, done, sop_instance_uid=RESULT)
    return reception


def read(file: Path, decisions: Mapping[str, Decision]) -> AssessmentReport:
    """Read in this process, which costs no start of another for each of the tests."""
    try:
        return read_assessments(file, decisions)
    except InvalidDicomError as error:
        raise UnreadableAssessmentError("damaged") from error


def taking(reception: Reception, *senders: str, **changes: Any) -> AssessmentTaking:
    settings = Settings(
        spool=Path(reception.spool.root),
        receive={"assessment_senders": senders or ("READER",), **changes},
    )
    return AssessmentTaking(settings, reception.spool, reception.database, read=read)


def sent(reception: Reception, *content: Any, sender: str = "READER", **changes: Any) -> None:
    report = reader_report(changes.pop("study", STUDY_UID), RESULT, *content, **changes)
    reception.receive(report, calling_ae_title=sender)


def test_assessment_is_kept_with_its_finding(analysed: Reception) -> None:
    sent(analysed, group(tracked("1.1"), decided(ACCEPTED), said("as before")))

    taking(analysed).step()

    (row,) = analysed.rows(Assessment)
    assert row.comment == "as before"
    assert (row.decision, row.tracking_uid, row.reader) == ("accepted", "1.1", "Reader^Rita")
    assert row.assessed_at is not None
    assert row.assessed_at.isoformat() == "2026-11-29T07:15:00+00:00"
    assert (row.study_id, row.analysis_id) == (1, 1)


def test_assessment_stands_with_its_study(analysed: Reception) -> None:
    sent(analysed, group(tracked("1.1"), decided(ACCEPTED), said("as before")))
    taking(analysed).step()

    with analysed.database.reading() as session:
        record = study_record(session, session.scalars(select(Study)).one())
    console = Console(width=200)
    with console.capture() as captured:
        for table in study_record_tables(record):
            console.print(table)

    (line,) = [one for one in captured.get().splitlines() if "as before" in one]
    assert all(word in line for word in ("accepted", "Reader^Rita", "1.1", "2026-11-29"))


def test_assessment_is_set_aside_and_begins_nothing(analysed: Reception) -> None:
    sent(analysed, decided(ACCEPTED))
    taking(analysed).step()

    (report,) = [one for one in analysed.rows(Instance) if one.calling_ae_title == "READER"]
    assert (report.state, report.reason) == (InstanceState.SET_ASIDE, "not-a-mammogram")
    assert analysed.rows(Delivery) == []


def test_report_is_looked_at_once(analysed: Reception) -> None:
    sent(analysed, decided(ACCEPTED))

    step = taking(analysed)
    step.step()
    step.step()
    taking(analysed).step()

    assert len(analysed.rows(Assessment)) == len(analysed.rows(AssessmentDocument)) == 1


def test_report_that_comes_again_adds_nothing(analysed: Reception) -> None:
    first = reader_report(STUDY_UID, RESULT, decided(ACCEPTED))
    again = reader_report(STUDY_UID, RESULT, decided(ACCEPTED), SOPInstanceUID=first.SOPInstanceUID)
    for one in (first, again):
        analysed.receive(one, calling_ae_title="READER")

    taking(analysed).step()

    assert len(analysed.rows(Assessment)) == 1


@pytest.mark.parametrize(
    ("changes", "content", "words"),
    [
        ({"references": ["9.9"]}, [decided(ACCEPTED)], "refers to no result"),
        ({"study": "1.2.3.99"}, [decided(ACCEPTED)], "refers to no result"),
        ({}, [decided(coded("Z", "99PACS", "Left"))], "no decision that is known"),
    ],
)
def test_report_of_which_nothing_is_kept_says_why(
    analysed: Reception, changes: dict[str, Any], content: list[Any], words: str
) -> None:
    sent(analysed, *content, **changes)

    taking(analysed).step()

    assert analysed.rows(Assessment) == []
    (document,) = analysed.rows(AssessmentDocument)
    assert words in document.problem


def test_report_of_another_sender_is_not_looked_at(analysed: Reception) -> None:
    sent(analysed, decided(ACCEPTED), sender="SOMEBODY")

    taking(analysed).step()

    assert analysed.rows(AssessmentDocument) == []


def test_report_that_cannot_be_read_does_not_hold_up_the_next(analysed: Reception) -> None:
    sent(analysed, decided(ACCEPTED))
    sent(analysed, decided(ACCEPTED))
    first, _ = [one for one in analysed.rows(Instance) if one.calling_ae_title == "READER"]
    analysed.spool.file(first.place).write_bytes(b"damaged")

    taking(analysed).step()

    assert len(analysed.rows(Assessment)) == 1
    assert [bool(one.problem) for one in analysed.rows(AssessmentDocument)] == [True, False]


def test_report_whose_file_is_not_there_is_looked_for_and_given_up(analysed: Reception) -> None:
    sent(analysed, decided(ACCEPTED))
    (report,) = [one for one in analysed.rows(Instance) if one.calling_ae_title == "READER"]
    analysed.spool.file(report.place).unlink()
    step = taking(analysed)

    step.step()
    assert analysed.rows(AssessmentDocument) == []
    for _ in range(40):
        step.step()

    (document,) = analysed.rows(AssessmentDocument)
    assert document.problem == "its file is not there"


@pytest.mark.long
def test_report_is_read_in_a_process_of_its_own(analysed: Reception) -> None:
    sent(analysed, decided(ACCEPTED))
    settings = Settings(spool=analysed.spool.root, receive={"assessment_senders": ("READER",)})

    AssessmentTaking(settings, analysed.spool, analysed.database).step()

    assert len(analysed.rows(Assessment)) == 1


def test_nothing_is_done_before_the_ledger_is_ready(analysed: Reception) -> None:
    sent(analysed, decided(ACCEPTED))
    settings = Settings(spool=analysed.spool.root, receive={"assessment_senders": ("READER",)})

    AssessmentTaking(settings, analysed.spool, analysed.database, lambda: False).step()

    assert analysed.rows(AssessmentDocument) == []
