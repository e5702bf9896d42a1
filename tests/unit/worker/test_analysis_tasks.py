"""One attempt to analyse a study, with a stand-in for the engine and all else real."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pydicom
import pytest
from sqlalchemy import select, update
from unit.dicom_node.node_factory import (
    PATIENT_WORDS,
    SOMEBODY_ELSE,
    STUDY_UID,
    TOMOSYNTHESIS,
    Reception,
)
from worker_factory import break_at_studies, due_analysis, run_analysis, shown_mammogram

from dicom_node.errors import ObjectRefusedError, OutOfResourcesError
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject
from dicom_node.studies.ledger.transitions import apply
from dicom_node.studies.operator_actions import judge_again
from mammoclip_core.errors import BundleError, PixelError
from worker.runtime import Runtime

ARCHIVE = DicomDestination(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=104)


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def results(reception: Reception) -> list[tuple[str, pydicom.Dataset]]:
    """Return each result object of the ledger as it lies in the spool."""
    rows = reception.rows(ResultObject)
    return [(row.kind, pydicom.dcmread(reception.spool.file(row.place))) for row in rows]


def test_study_is_analysed_to_objects_in_the_spool(node: Runtime, reception: Reception) -> None:
    for view in ("CC", "MLO"):
        reception.receive(shown_mammogram(view))

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.DONE
    kinds = [kind for kind, _ in results(reception)]
    assert kinds == ["secondary_capture"] * 2 + ["segmentation"] * 2 + ["measurement_report"]
    for row, (_, dataset) in zip(reception.rows(ResultObject), results(reception), strict=True):
        assert (row.sop_instance_uid, row.sop_class_uid) == (
            dataset.SOPInstanceUID,
            dataset.SOPClassUID,
        )


def test_engine_is_shown_files_and_views_of_the_ledger(node: Runtime, reception: Reception) -> None:
    row = reception.receive(shown_mammogram("CC", "R"))

    run_analysis(node, due_analysis(reception))

    (request,) = node.engine.requests
    (image,) = request.images
    assert (image.path, image.sop_instance_uid) == (
        reception.spool.file(row.place),
        row.sop_instance_uid,
    )
    assert (image.laterality, image.view_position) == ("R", "CC")


def test_findings_are_kept_with_the_bundle_that_said_them(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())

    analysis = run_analysis(node, due_analysis(reception))

    assert json.loads(analysis.findings)["study_instance_uid"] == STUDY_UID
    assert analysis.bundle == f"stand-in 1 {'ab' * 32}"


def test_findings_name_nobody(node: Runtime, reception: Reception, log_lines: list[Any]) -> None:
    reception.receive(shown_mammogram())

    analysis = run_analysis(node, due_analysis(reception))

    assert not [word for word in PATIENT_WORDS if word in analysis.findings + str(log_lines)]


def test_each_destination_has_a_delivery_due(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    research = ARCHIVE.model_copy(update={"name": "research"})
    node = runtime_with(destinations=(ARCHIVE, research))
    reception.receive(shown_mammogram())

    run_analysis(node, due_analysis(reception))

    deliveries = {(row.destination, row.state) for row in reception.rows(Delivery)}
    assert deliveries == {("archive", DeliveryState.DUE), ("research", DeliveryState.DUE)}


def test_image_that_fails_leaves_a_partial_result(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram("CC"))
    broken = reception.receive(shown_mammogram("MLO"))
    node.engine.failing = frozenset({broken.sop_instance_uid})

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.DONE
    kinds = [kind for kind, _ in results(reception)]
    assert kinds == ["secondary_capture", "segmentation", "measurement_report"]


def test_study_of_which_nothing_is_analysed_fails_at_once(
    node: Runtime, reception: Reception
) -> None:
    row = reception.receive(shown_mammogram())
    node.engine.failing = frozenset({row.sop_instance_uid})

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.attempts) == (AnalysisState.FAILED, 1)
    assert analysis.reason == "no image could be analysed: no pixels"


ERRORS = {
    "PixelError": (PixelError("no pixels"), "no pixels"),
    "BundleError": (BundleError("altered"), "altered"),
    "ObjectRefusedError": (ObjectRefusedError("no Rows"), "no Rows"),
    "OutOfResourcesError": (OutOfResourcesError("disk full"), "disk full"),
    "bug": (ValueError("Quellwasser^Ottilie"), "unexpected error: ValueError"),
    "no memory": (MemoryError(), "the machine is short of memory"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_analysis_that_raises_is_given_back_to_wait(
    node: Runtime, reception: Reception, case: str
) -> None:
    error, reason = ERRORS[case]
    reception.receive(shown_mammogram())
    node.engine.meanwhile = raising(error)
    before = datetime.now(UTC)

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.reason) == (AnalysisState.DUE, reason)
    assert analysis.due_at >= before + timedelta(seconds=4)
    assert analysis.dispatched_at is None


@pytest.mark.parametrize("case", ERRORS)
def test_error_is_told_without_what_a_library_quoted(
    node: Runtime, reception: Reception, log_lines: list[Any], case: str
) -> None:
    reception.receive(shown_mammogram())
    node.engine.meanwhile = raising(ERRORS[case][0])

    run_analysis(node, due_analysis(reception))

    told = [{**line, "exc_info": None} for line in log_lines]
    assert not [word for word in PATIENT_WORDS if word in str(told)]


def test_analysis_that_raises_every_time_fails_after_the_last_attempt(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    node = runtime_with(work={"maximum_attempts": 3})
    reception.receive(shown_mammogram())
    break_at_studies(node.engine, ObjectRefusedError("no Rows"))
    analysis_id = due_analysis(reception)

    states = []
    for _ in range(3):
        with node.database.writing() as session:
            session.execute(update(Analysis).values(due_at=datetime.now(UTC)))
        states.append(run_analysis(node, analysis_id).state.value)

    assert states == ["due", "due", "failed"]


def test_full_disk_is_waited_for_however_often_the_analysis_starts(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    node = runtime_with(work={"maximum_attempts": 2})
    reception.receive(shown_mammogram())
    node.engine.meanwhile = raising(OutOfResourcesError("the disk is full"))
    analysis_id = due_analysis(reception)

    for _ in range(4):
        with node.database.writing() as session:
            session.execute(update(Analysis).values(due_at=datetime.now(UTC)))
        before = datetime.now(UTC)
        analysis = run_analysis(node, analysis_id)

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert analysis.due_at >= before + timedelta(seconds=30)
    assert analysis.reason == "the disk is full"


def test_analysis_that_is_given_back_is_not_run_before_its_time(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    node.engine.meanwhile = raising(ObjectRefusedError("no Rows"))
    analysis_id = due_analysis(reception)
    run_analysis(node, analysis_id)

    assert run_analysis(node, analysis_id).attempts == 1


def test_late_message_finds_nothing_due(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    run_analysis(node, analysis_id)

    run_analysis(node, analysis_id)

    assert len(node.engine.requests) == 1


def next_revision(node: Runtime, reception: Reception) -> Analysis:
    return run_analysis(node, due_analysis(reception))


def test_equal_answer_is_the_same_files(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())
    next_revision(node, reception)
    first = {row.sop_instance_uid: row.place for row in reception.rows(ResultObject)}

    second = next_revision(node, reception)

    rows = [row for row in reception.rows(ResultObject) if row.analysis_id == second.id]
    assert {row.sop_instance_uid: row.place for row in rows} == first
    assert len(reception.files("results")) == len(first)


def test_changed_answer_is_other_files_and_names_its_predecessor(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    next_revision(node, reception)
    former = next(dataset for kind, dataset in results(reception) if kind == "measurement_report")
    node.engine.score = 0.6

    next_revision(node, reception)

    reports = [dataset for kind, dataset in results(reception) if kind == "measurement_report"]
    referenced = (
        reports[1]
        .PredecessorDocumentsSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[0]
    )
    assert referenced.ReferencedSOPInstanceUID == former.SOPInstanceUID
    assert reports[1].SOPInstanceUID != former.SOPInstanceUID


def test_attempt_that_fails_amid_its_objects_leaves_none_of_them(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    before, written = node.spool.keep_result, []

    def full_at_the_end(content: bytes, *where: Any) -> str:
        if "measurement_report" in where[-1]:
            raise OutOfResourcesError("disk full")
        written.append(where[-1])
        return before(content, *where)

    node.spool.keep_result = full_at_the_end  # type: ignore[method-assign]

    run_analysis(node, due_analysis(reception))

    assert written
    assert reception.files("results") == []


def test_retried_analysis_writes_beside_its_former_attempts(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    before = node.spool.keep_result

    def full_at_the_end(content: bytes, *where: Any) -> str:
        if "measurement_report" in where[-1]:
            raise OutOfResourcesError("disk full")
        return before(content, *where)

    node.spool.keep_result = full_at_the_end  # type: ignore[method-assign]
    with monkeypatch.context() as killed:  # a killed worker tidies nothing up
        killed.setattr(node.spool, "drop_results", lambda *_: None)
        run_analysis(node, analysis_id)
    node.spool.keep_result = before  # type: ignore[method-assign]
    left = {file: file.read_bytes() for file in reception.files("results")}
    with node.database.writing() as session:
        row = session.get_one(Analysis, analysis_id)
        apply(session, row, Event.CANCEL, at=datetime.now(UTC))
        apply(session, row, Event.RETRY, at=datetime.now(UTC), attempts=0)
        row.due_at = datetime.now(UTC)
    node.engine.score = 0.6

    run_analysis(node, analysis_id)

    assert left
    assert {file: file.read_bytes() for file in left} == left


def test_object_with_the_uid_of_an_image_does_not_take_its_place(
    node: Runtime, reception: Reception
) -> None:
    good = shown_mammogram()
    reception.receive(good)
    impostor = shown_mammogram(SOPInstanceUID=good.SOPInstanceUID, SeriesDescription="impostor")
    impostor.PixelData = b"\xff\x0f" * (len(impostor.PixelData) // 2)
    impostor.Rows, impostor.Columns = 32, 128
    row = reception.receive(impostor)
    assert row.reason == "same-uid-other-content"

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.DONE
    (segmentation,) = [dataset for kind, dataset in results(reception) if kind == "segmentation"]
    assert (segmentation.Rows, segmentation.Columns) == (good.Rows, good.Columns)


@pytest.mark.parametrize("reason", ["no-view", "tomosynthesis"])
def test_object_that_was_judged_again_is_read_where_it_lies_now(
    node: Runtime, reception: Reception, reason: str
) -> None:
    reception.receive(shown_mammogram())
    if reason == "tomosynthesis":
        reception.receive(shown_mammogram(SOPClassUID=TOMOSYNTHESIS))
    else:
        reception.receive(shown_mammogram(without=["ViewPosition"]))
    with reception.database.writing() as session:
        judge_again(session, STUDY_UID, at=datetime.now(UTC))
    reception.registrar.register_all()

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.reason) == (AnalysisState.DONE, "")


def test_image_of_another_patient_is_stated_and_not_read(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    stranger = reception.receive(shown_mammogram(**SOMEBODY_ELSE))
    reception.spool.file(stranger.place).unlink()

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.DONE
    images = {one["sop_instance_uid"]: one for one in json.loads(analysis.findings)["images"]}
    assert images[stranger.sop_instance_uid]["status"] == "failed"


def test_heartbeat_keeps_the_lease_during_a_long_analysis(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    node = runtime_with(work={"heartbeat_seconds": 0.02, "lease_seconds": 40})
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    seen: list[datetime] = []

    with node.leased(Analysis, analysis_id) as taken:
        assert taken is not None
        first = taken[1].lease_expires_at
        deadline = datetime.now(UTC) + timedelta(seconds=10)
        while not seen and datetime.now(UTC) < deadline:
            with node.database.reading() as session:
                expiry = session.scalars(select(Analysis.lease_expires_at)).one()
            seen += [expiry] if expiry > first else []

    assert seen


def test_heartbeat_ends_with_the_work(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())

    run_analysis(node, due_analysis(reception))

    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]
