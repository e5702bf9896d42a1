"""Whose results they are when images are sent again with another identity."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from unit.dicom_node.node_factory import SOMEBODY_ELSE, STUDY_UID, Reception, claimed
from worker_factory import run_analysis, shown_mammogram

from dicom_node.studies.ledger.due.outcomes import postpone_delivery
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject, Study
from dicom_node.studies.operator_actions import retry_study
from dicom_node.studies.settling import Patience, settle_if_complete
from worker.runtime import Runtime

CORRECTED = {
    "PatientName": "Richtig^Rita",
    "PatientID": "RICHTIG-1",
    "PatientBirthDate": "19610407",
    "AccessionNumber": "A-2",
}
VIEWS = [("CC", "R"), ("CC", "L"), ("MLO", "R"), ("MLO", "L")]


def further(case: Any) -> Any:
    """Mark a case that is like another, for the long run."""
    return pytest.param(case, marks=pytest.mark.long)


@pytest.fixture
def images() -> list[Dataset]:
    return [shown_mammogram(view, side) for view, side in VIEWS]


def again(image: Dataset, **changes: Any) -> Dataset:
    sent = copy.deepcopy(image)
    for keyword, value in changes.items():
        setattr(sent, keyword, value)
    return sent


def settle(reception: Reception) -> Study:
    """Let the study settle if it is complete, and return it."""
    at = datetime.now(UTC)
    none = timedelta(0)
    with reception.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == STUDY_UID)).one()
        settle_if_complete(
            session,
            study.id,
            sent=(),
            patience=Patience(idle=none, grace=none),
            at=at,
        )
    return reception.study()


def newest_analysis(reception: Reception) -> Analysis:
    return max(reception.rows(Analysis), key=lambda row: row.revision)


def analysed(node: Runtime, reception: Reception) -> Analysis:
    """Settle the study and analyse it."""
    settle(reception)
    return run_analysis(node, newest_analysis(reception).id)


def named_in(reception: Reception, analysis: Analysis, keyword: str) -> set[str]:
    """Return what all objects of an answer say."""
    rows = [row for row in reception.rows(ResultObject) if row.analysis_id == analysis.id]
    assert rows
    objects = [pydicom.dcmread(reception.spool.file(row.place)) for row in rows]
    return {str(one.get(keyword)) for one in objects}


def told(reception: Reception) -> tuple[str, str]:
    with reception.database.reading() as session:
        study = reading.find_study(session, STUDY_UID)
        one = reading.summary(session, study)
    return one.condition, one.reason


def receive_all(reception: Reception, images: list[Dataset], **changes: Any) -> None:
    for image in images:
        reception.receive(again(image, **changes))


@pytest.mark.parametrize(
    "keyword",
    ["PatientName", "AccessionNumber", further("PatientID"), further("PatientBirthDate")],
)
def test_results_carry_the_corrected_identity(
    node: Runtime, reception: Reception, images: list[Dataset], keyword: str
) -> None:
    receive_all(reception, images)
    first = analysed(node, reception)

    receive_all(reception, images, **{keyword: CORRECTED[keyword]})
    second = analysed(node, reception)

    assert (second.state, second.revision) == (AnalysisState.DONE, 2)
    assert named_in(reception, second, keyword) == {CORRECTED[keyword]}
    assert named_in(reception, first, keyword) == {str(images[0].get(keyword))}
    assert told(reception)[1].endswith(f"4 of 4 images corrected: {keyword}")


def test_corrected_report_names_the_former_as_its_predecessor(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    receive_all(reception, images)
    analysed(node, reception)
    former = {row.sop_instance_uid for row in reception.rows(ResultObject)}

    receive_all(reception, images, **CORRECTED)
    second = analysed(node, reception)

    rows = [row for row in reception.rows(ResultObject) if row.analysis_id == second.id]
    assert former.isdisjoint(row.sop_instance_uid for row in rows)


def test_study_that_is_corrected_in_half_is_held_until_the_rest_comes(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    receive_all(reception, images)
    analysed(node, reception)

    receive_all(reception, images[:2], **CORRECTED)
    study = settle(reception)

    assert study.state is StudyState.SETTLED
    assert len(reception.rows(Analysis)) == 1
    condition, reason = told(reception)
    assert condition == "held"
    assert reason.startswith("2 of 4 images were corrected to another patient")
    with node.database.writing() as session:
        assert retry_study(session, STUDY_UID, at=datetime.now(UTC)) == []

    receive_all(reception, images[2:], **CORRECTED)
    second = analysed(node, reception)

    assert named_in(reception, second, "PatientName") == {"Richtig^Rita"}
    assert told(reception)[0] != "held"


@pytest.mark.parametrize(
    "keyword",
    ["AccessionNumber", "PatientID", further("PatientName"), further("PatientBirthDate")],
)
def test_half_a_study_with_one_corrected_attribute_is_named_by_the_correction(
    node: Runtime, reception: Reception, images: list[Dataset], keyword: str
) -> None:
    receive_all(reception, images)

    receive_all(reception, images[:2], **{keyword: CORRECTED[keyword]})
    answer = analysed(node, reception)

    assert named_in(reception, answer, keyword) == {CORRECTED[keyword]}


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientName": "QUELLWASSER^OTTILIE", "PatientSex": "O"},
        {"PatientID": "0KLINIK-90817263"},
        further({"PatientName": "Quellwasser^Ottilie^Q"}),
        further({"PatientName": "Quellwasser ^Ottilie"}),
        further({"IssuerOfPatientID": "CLINIC"}),
        further({"PatientID": "", "PatientSex": ""}),
    ],
    ids=str,
)
def test_patient_who_is_spelt_otherwise_in_half_of_a_study_is_one_patient(
    node: Runtime, reception: Reception, images: list[Dataset], changes: dict[str, str]
) -> None:
    receive_all(reception, images[:2])
    receive_all(reception, images[2:], **changes)

    answer = analysed(node, reception)

    assert (answer.state, answer.reason) == (AnalysisState.DONE, "")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        assert len(named_in(reception, answer, keyword)) == 1


def test_correction_that_is_taken_back_is_one_more_revision(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    former: set[str] = set()
    for revision, changes in enumerate(({}, CORRECTED, {}), start=1):
        receive_all(reception, images, **changes)
        answer = analysed(node, reception)

        assert (answer.state, answer.revision) == (AnalysisState.DONE, revision)
        name = changes.get("PatientName", str(images[0].PatientName))
        assert named_in(reception, answer, "PatientName") == {name}
        made = {
            row.sop_instance_uid
            for row in reception.rows(ResultObject)
            if row.analysis_id == answer.id
        }
        assert former.isdisjoint(made)
        former |= made


def test_correction_during_an_analysis_leaves_no_answer_under_the_former_name(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    receive_all(reception, images)
    settle(reception)
    node.engine.meanwhile = lambda: receive_all(reception, images, **CORRECTED)

    first = run_analysis(node, newest_analysis(reception).id)

    assert first.state is AnalysisState.SUPERSEDED
    assert reception.rows(ResultObject) == []
    node.engine.meanwhile = lambda: None
    second = analysed(node, reception)
    assert named_in(reception, second, "PatientID") == {"RICHTIG-1"}


def test_delivery_under_way_during_a_correction_is_not_tried_again(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    receive_all(reception, images)
    first = analysed(node, reception)
    with node.database.writing() as session:
        session.add(
            Delivery(
                analysis_id=first.id,
                destination="archive",
                state=DeliveryState.DUE,
                version=0,
                attempts=0,
                due_at=datetime.now(UTC),
                created_at=datetime.now(UTC),
                lease_holder="",
                reason="",
            )
        )
    with node.database.writing() as session:
        held = claimed(session, session.get_one(Delivery, 1), at=datetime.now(UTC))
    receive_all(reception, images, **CORRECTED)
    with node.database.writing() as session:
        at = datetime.now(UTC)
        postpone_delivery(session, held, reason="archive is away", due_at=at, at=at)

    (delivery,) = reception.rows(Delivery)
    assert delivery.state is DeliveryState.EXPIRED


def test_image_that_came_damaged_is_analysed_once_it_came_whole(
    node: Runtime, reception: Reception, images: list[Dataset], log_lines: list[Any]
) -> None:
    damaged = again(images[0], PixelData=images[0].PixelData[:64])
    receive_all(reception, [damaged, *images[1:]])
    node.engine.failing = frozenset({str(damaged.SOPInstanceUID)})
    analysed(node, reception)
    assert told(reception)[1].startswith("1 of 4 images could not be read")
    (warned,) = [line for line in log_lines if line["event"] == "analysis_partial"]
    assert warned["log_level"] == "warning"
    assert warned["detail"] == "1 of 4 images could not be read"

    reception.receive(images[0])
    node.engine.failing = frozenset()
    second = analysed(node, reception)

    assert second.state is AnalysisState.DONE
    path = next(
        image.path
        for image in node.engine.requests[-1].images
        if image.sop_instance_uid == str(damaged.SOPInstanceUID)
    )
    assert pydicom.dcmread(path).PixelData == images[0].PixelData
    assert "could not be read" not in told(reception)[1]


def test_study_with_an_image_of_another_patient_says_so_when_it_is_done(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    receive_all(reception, images)
    reception.receive(shown_mammogram(**SOMEBODY_ELSE))

    analysed(node, reception)

    assert told(reception)[1].endswith(
        "1 object set aside: the study of this Study Instance UID belongs to another patient"
    )


def test_image_without_a_view_of_another_patient_is_no_source_of_the_results(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    receive_all(reception, images)
    reception.receive(
        shown_mammogram(**SOMEBODY_ELSE, PatientBirthDate="19700101", without=["ViewPosition"])
    )

    answer = analysed(node, reception)

    assert (answer.state, answer.reason) == (AnalysisState.DONE, "")
    assert named_in(reception, answer, "PatientID") == {str(images[0].PatientID)}
