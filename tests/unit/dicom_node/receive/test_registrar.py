"""What the registrar makes of whole mammograms: new, repeated, late, another patient's."""

import pytest
from node_factory import (
    COMPREHENSIVE_SR,
    NOW,
    SECONDARY_CAPTURE,
    SOMEBODY_ELSE,
    STUDY_UID,
    Reception,
    analysis_row,
    four_views,
    mammogram,
    result_row,
    study_row,
)
from sqlalchemy import update

from dicom_node.facts.identity import PatientDigest
from dicom_node.facts.own_result import MANUFACTURER, MODEL_NAME
from dicom_node.studies.ledger.states import AnalysisState, InstanceState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study


def settle(reception: Reception, state: AnalysisState) -> None:
    """Make the one study settled, with an analysis in some state."""
    with reception.database.writing() as session:
        session.execute(update(Study).values(state=StudyState.SETTLED, revision=1))
        analysis_row(session, session.get_one(Study, 1), state=state)


def test_new_mammogram_is_registered(reception: Reception) -> None:
    dataset = mammogram("CC", "R")

    row = reception.receive(dataset, calling_ae_title="ROOM1")

    assert row.state is InstanceState.REGISTERED
    assert row.sop_instance_uid == dataset.SOPInstanceUID
    assert (row.laterality, row.view_position) == ("R", "CC")
    assert (row.presentation_intent, row.calling_ae_title) == ("FOR PRESENTATION", "ROOM1")


def test_registered_mammogram_lies_where_the_ledger_says(reception: Reception) -> None:
    row = reception.receive(mammogram())

    assert reception.spool.file(row.place).stat().st_size == row.size_bytes
    assert reception.spool.incoming() == []


def test_first_image_opens_its_study(reception: Reception) -> None:
    reception.receive(mammogram())

    study = reception.study()
    assert (study.state, study.revision) == (StudyState.OPEN, 0)


def test_images_of_one_study_share_its_row(reception: Reception) -> None:
    for dataset in four_views():
        reception.receive(dataset)

    assert {row.study_id for row in reception.instances()} == {reception.study().id}


def test_arrivals_are_registered_oldest_first(reception: Reception) -> None:
    from node_factory import put

    receipts = [put(reception.spool, dataset) for dataset in four_views()]

    reception.registrar.register_all()

    assert [row.receipt for row in reception.instances()] == [str(one) for one in receipts]


def test_registering_with_nothing_waiting_does_nothing(reception: Reception) -> None:
    assert reception.registrar.register_all() == 0


def test_repeated_image_is_dropped(reception: Reception) -> None:
    dataset = mammogram()
    reception.receive(dataset)

    row = reception.receive(dataset, calling_ae_title="ROUTER", association="c" * 16)

    assert row is None
    assert len(reception.instances()) == 1
    assert len(reception.files(".")) - len(reception.files("partial")) >= 1
    assert reception.files("incoming") == []


def test_repeated_image_does_not_reopen_its_study(reception: Reception) -> None:
    dataset = mammogram()
    reception.receive(dataset)
    settle(reception, AnalysisState.DONE)

    reception.receive(dataset)

    assert reception.study().state is StudyState.SETTLED


def test_same_uid_with_other_content_is_set_aside(reception: Reception) -> None:
    dataset = mammogram()
    first = reception.receive(dataset)
    dataset.PixelData = b"\x01" * 32

    row = reception.receive(dataset)

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "same-uid-other-content")
    assert reception.spool.file(first.place).is_file()
    assert reception.spool.file(row.place).is_file()


def test_second_patient_of_a_study_is_set_aside(reception: Reception) -> None:
    reception.receive(mammogram())

    row = reception.receive(mammogram(**SOMEBODY_ELSE))

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "two-patients")
    assert row.study_id == reception.study().id


def test_patient_without_an_identifier_contradicts_nobody(reception: Reception) -> None:
    reception.receive(mammogram())

    row = reception.receive(mammogram(PatientID="", PatientBirthDate=""))

    assert row.state is InstanceState.REGISTERED


def test_identifier_that_comes_later_counts_from_then_on(reception: Reception) -> None:
    reception.receive(mammogram(PatientID=""))
    reception.receive(mammogram(PatientID="A"))

    row = reception.receive(mammogram(PatientID="B", PatientName="Anders^Wer"))

    assert row.reason == "two-patients"


def test_object_that_is_set_aside_does_not_say_who_the_patient_is(reception: Reception) -> None:
    reception.receive(mammogram(PatientID="WRONG", without=["ViewPosition"]))

    row = reception.receive(mammogram(PatientID="RIGHT"))

    assert row.state is InstanceState.REGISTERED


def test_own_result_that_the_ledger_lists_is_dropped(reception: Reception) -> None:
    dataset = mammogram()
    with reception.database.writing() as session:
        analysis = analysis_row(session, study_row(session))
        result_row(session, analysis, sop_instance_uid=str(dataset.SOPInstanceUID))

    row = reception.receive(dataset)

    assert row is None
    assert reception.files("incoming") == []
    assert reception.study().state is StudyState.SETTLED


def test_result_of_another_node_of_this_software_is_set_aside(reception: Reception) -> None:
    dataset = mammogram(
        SOPClassUID=SECONDARY_CAPTURE, Manufacturer=MANUFACTURER, ManufacturerModelName=MODEL_NAME
    )

    row = reception.receive(dataset)

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "own-result")


def test_late_image_reopens_its_study(reception: Reception) -> None:
    reception.receive(mammogram("CC"))
    settle(reception, AnalysisState.DONE)

    late = reception.receive(mammogram("MLO"))

    study = reception.study()
    assert study.state is StudyState.OPEN
    assert study.last_received_at == late.received_at


def test_late_image_supersedes_an_analysis_without_an_answer(reception: Reception) -> None:
    for number, state in enumerate(
        (
            AnalysisState.DUE,
            AnalysisState.RUNNING,
            AnalysisState.FAILED,
            AnalysisState.CANCELLED,
        )
    ):
        uid = f"{STUDY_UID}.{number}"
        reception.receive(mammogram("CC", StudyInstanceUID=uid))
        with reception.database.writing() as session:
            study = session.get_one(Study, number + 1)
            study.state, study.revision = StudyState.SETTLED, 1
            analysis_row(session, study, state=state)

        reception.receive(mammogram("MLO", StudyInstanceUID=uid))

    states = {row.state for row in reception.rows(Analysis)}
    assert states == {AnalysisState.SUPERSEDED}


def test_answer_stands_until_the_next_revision_has_one(reception: Reception) -> None:
    reception.receive(mammogram("CC"))
    settle(reception, AnalysisState.DONE)

    reception.receive(mammogram("MLO"))

    assert reception.rows(Analysis)[0].state is AnalysisState.DONE


def test_mammogram_that_is_set_aside_reopens_its_study_for_the_report_to_say_so(
    reception: Reception,
) -> None:
    reception.receive(mammogram())
    settle(reception, AnalysisState.DONE)

    reception.receive(mammogram(without=["ViewPosition"]))

    assert reception.study().state is StudyState.OPEN


def test_mammogram_that_is_judged_again_reopens_nothing(reception: Reception) -> None:
    unknown_view = mammogram(without=["ViewPosition"])
    reception.receive(mammogram())
    reception.receive(unknown_view)
    settle(reception, AnalysisState.DONE)

    reception.receive(unknown_view, association="c" * 16)

    assert reception.study().state is StudyState.SETTLED


def test_object_that_is_no_mammogram_does_not_reopen_its_study(reception: Reception) -> None:
    reception.receive(mammogram())
    settle(reception, AnalysisState.DONE)

    reception.receive(mammogram(SOPClassUID=COMPREHENSIVE_SR))

    assert reception.study().state is StudyState.SETTLED


def test_object_without_a_series_belongs_to_its_study_all_the_same(reception: Reception) -> None:
    row = reception.receive(mammogram(without=["SeriesInstanceUID"]))

    assert row is not None
    assert row.study_id == reception.study().id


def test_repeated_object_is_set_aside_once(reception: Reception) -> None:
    dataset = mammogram(without=["ViewPosition"])
    reception.receive(dataset)

    row = reception.receive(dataset, association="c" * 16)

    assert row is None
    assert len(reception.files("set-aside")) == 1
    assert reception.files("incoming") == []


def test_repeated_garbage_is_set_aside_once(reception: Reception) -> None:
    reception.receive(b"garbage")

    row = reception.receive(b"garbage")

    assert row is None
    assert len(reception.instances()) == 1


def test_reception_time_is_the_receipts(reception: Reception) -> None:
    row = reception.receive(mammogram())

    assert row.receipt.startswith(f"{int(row.received_at.timestamp())}")
    assert row.received_at.tzinfo is NOW.tzinfo


def test_instance_row_keeps_one_kept_copy_of_each_uid(reception: Reception) -> None:
    dataset = mammogram()
    reception.receive(dataset)
    dataset.PixelData = b"\x01" * 32
    reception.receive(dataset)

    kept = [row for row in reception.rows(Instance) if row.state is InstanceState.REGISTERED]

    assert len(kept) == 1


@pytest.mark.parametrize(
    ("patient_id", "state"),
    [("P-1", InstanceState.REGISTERED), ("P-2", InstanceState.SET_ASIDE)],
)
def test_study_of_an_earlier_release_goes_on(
    reception: Reception, patient_id: str, state: InstanceState
) -> None:
    first = mammogram("CC", PatientID="P-1")
    reception.receive(first)
    digests = PatientDigest.of(first, b"").unkeyed
    stored = " ".join(f"{keyword}={digest}" for keyword, digest in digests.items())
    with reception.database.writing() as session:
        session.execute(update(Study).values(patient_digest=stored))
        session.execute(update(Instance).values(patient_digest=""))

    row = reception.receive(mammogram("MLO", PatientID=patient_id, PatientName="Anders^Wer"))

    assert row.state is state
