"""What becomes of results whose images an archive rejects."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select, update
from test_delivery_tasks import Archive
from unit.dicom_node.node_factory import STUDY_UID, Reception
from unit.dicom_node.rejection_notes import rejection_note
from worker_factory import run_analysis, shown_mammogram

from dicom_node.facts.result_kinds import KEY_OBJECT_SELECTION
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, InstanceState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, ResultObject, Study
from dicom_node.studies.settling import Patience, settle_if_complete
from mammoclip_core.findings import ImageStatus
from mammoclip_core.findings_document import from_json
from worker.deliver.delivery import deliver_results
from worker.runtime import Runtime

VIEWS = [("CC", "R"), ("CC", "L"), ("MLO", "R"), ("MLO", "L")]


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    archive._entity.add_supported_context(KEY_OBJECT_SELECTION)
    yield archive.start()
    archive.stop()


@pytest.fixture
def node(runtime_with: Callable[..., Runtime], archive: Archive) -> Runtime:
    destination = DicomDestination(
        name="archive",
        ae_title="ARCHIVE",
        host="127.0.0.1",
        port=archive.port,
        timeout_seconds=5,
    )
    return runtime_with(destinations=(destination,))


@pytest.fixture
def images() -> list[Dataset]:
    return [shown_mammogram(view, side) for view, side in VIEWS]


def settle(reception: Reception) -> Analysis | None:
    """Let the study settle, and return its analysis if one is due."""
    at, none = datetime.now(UTC), timedelta(0)
    with reception.database.writing() as session:
        study = session.scalars(select(Study)).one()
        patience = Patience(idle=none, grace=none)
        settle_if_complete(session, study.id, sent=(), patience=patience, at=at)
    due = [row for row in reception.rows(Analysis) if row.state is AnalysisState.DUE]
    return due[0] if due else None


def analysed(node: Runtime, reception: Reception) -> Analysis:
    due = settle(reception)
    assert due is not None
    return run_analysis(node, due.id)


def deliver_all(node: Runtime, reception: Reception) -> None:
    with node.database.writing() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC)))
    for row in reception.rows(Delivery):
        if row.state is DeliveryState.DUE:
            with node.leased(Delivery, row.id) as taken:
                assert taken is not None
                deliver_results(node, *taken)


def made_in(reception: Reception, analysis: Analysis) -> list[ResultObject]:
    return [row for row in reception.rows(ResultObject) if row.analysis_id == analysis.id]


def named_by(reception: Reception, row: ResultObject) -> set[str]:
    note = pydicom.dcmread(reception.spool.file(row.place))
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    return {
        str(one.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


def condition(reception: Reception) -> str:
    with reception.database.reading() as session:
        return reading.summary(session, reading.find_study(session, STUDY_UID)).condition


def test_results_are_made_again_of_what_is_left_and_say_what_is_not(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    for image in images:
        reception.receive(image)
    analysed(node, reception)

    reception.receive(rejection_note(images[:1], "113037"))
    second = analysed(node, reception)

    assert (second.state, second.revision) == (AnalysisState.DONE, 2)
    assert second.findings is not None
    answers = {one.sop_instance_uid: one for one in from_json(second.findings).images}
    rejected = answers.pop(str(images[0].SOPInstanceUID))
    assert rejected.status is ImageStatus.LEFT_OUT
    assert "Rejected for Patient Safety Reasons" in rejected.reason
    assert {one.status for one in answers.values()} == {ImageStatus.ANALYSED}
    (report,) = [one for one in made_in(reception, second) if one.kind == "measurement_report"]
    text = reception.spool.file(report.place).read_bytes()
    assert b"Rejected for Patient Safety Reasons" in text
    evidence = str(pydicom.dcmread(reception.spool.file(report.place)))
    assert f"{images[1].SOPInstanceUID}" in evidence


def test_nothing_more_is_sent_of_the_former_answer(
    node: Runtime, reception: Reception, images: list[Dataset], archive: Archive
) -> None:
    for image in images:
        reception.receive(image)
    first = analysed(node, reception)

    reception.receive(rejection_note(images))
    deliver_all(node, reception)

    assert archive.received == []
    with node.database.reading() as session:
        assert session.get_one(Analysis, first.id).state is AnalysisState.SUPERSEDED


@pytest.mark.parametrize(
    "code",
    [
        "113001",
        *(pytest.param(one, marks=pytest.mark.long) for one in ("113037", "113038", "113039")),
    ],
)
def test_results_of_a_study_that_was_rejected_whole_are_retracted(
    node: Runtime, reception: Reception, images: list[Dataset], archive: Archive, code: str
) -> None:
    for image in images:
        reception.receive(image)
    first = analysed(node, reception)
    deliver_all(node, reception)
    archive.received.clear()

    reception.receive(rejection_note(images, code))
    second = analysed(node, reception)
    deliver_all(node, reception)

    assert second.state is AnalysisState.DONE
    (note,) = made_in(reception, second)
    assert note.kind == "rejection_note"
    assert archive.received == [note.sop_instance_uid]
    former = {row.sop_instance_uid for row in made_in(reception, first)}
    assert named_by(reception, note) == former
    written = pydicom.dcmread(reception.spool.file(note.place))
    texts = [str(one.TextValue) for one in written.ContentSequence if "TextValue" in one]
    assert any("must not be used any more" in text and "rejected" in text for text in texts)
    assert {row.state for row in reception.rows(Delivery)} == {DeliveryState.ACCEPTED}
    assert condition(reception) == "delivered"


def test_study_whose_results_went_nowhere_is_retracted_without_a_note(
    node: Runtime, reception: Reception, images: list[Dataset], archive: Archive
) -> None:
    for image in images:
        reception.receive(image)
    analysed(node, reception)

    reception.receive(rejection_note(images))
    second = analysed(node, reception)
    deliver_all(node, reception)

    assert (second.state, made_in(reception, second)) == (AnalysisState.DONE, [])
    assert archive.received == []


def test_study_that_was_never_analysed_has_nothing_to_retract(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    del node
    for image in images:
        reception.receive(image)
    reception.receive(rejection_note(images))

    assert settle(reception) is None
    assert condition(reception) == "nothing-to-analyse"


def test_results_are_retracted_though_no_image_is_kept_any_more(
    node: Runtime, reception: Reception, images: list[Dataset], archive: Archive
) -> None:
    for image in images:
        reception.receive(image)
    analysed(node, reception)
    deliver_all(node, reception)
    archive.received.clear()
    with node.database.writing() as session:
        for row in session.scalars(select(Instance)):
            reception.spool.file(row.place).unlink()
            row.state, row.removed_at, row.place = InstanceState.REMOVED, datetime.now(UTC), ""

    reception.receive(rejection_note(images))
    second = analysed(node, reception)
    deliver_all(node, reception)

    (note,) = made_in(reception, second)
    assert archive.received == [note.sop_instance_uid]


def test_new_images_after_a_retraction_are_analysed(
    node: Runtime, reception: Reception, images: list[Dataset], archive: Archive
) -> None:
    for image in images:
        reception.receive(image)
    analysed(node, reception)
    deliver_all(node, reception)
    reception.receive(rejection_note(images))
    analysed(node, reception)
    deliver_all(node, reception)
    archive.received.clear()

    for view, side in VIEWS:
        reception.receive(shown_mammogram(view, side))
    third = analysed(node, reception)
    deliver_all(node, reception)

    assert (third.state, third.revision) == (AnalysisState.DONE, 3)
    sent = {row.sop_instance_uid for row in made_in(reception, third)}
    assert set(archive.received) == sent
