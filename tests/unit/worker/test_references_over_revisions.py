"""Over revisions a report refers to what lies in the spool and in the archive, where it lies."""

from collections.abc import Callable
from datetime import UTC, datetime

import pydicom
import pytest
from pydicom.dataset import Dataset
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.ways_out.results import ProfileSettings
from dicom_node.studies.ledger.tables import Delivery, DeliveryOutcome, ResultObject
from worker.runtime import Runtime

ARCHIVE = DicomDestination(
    name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=104, profile="all"
)


@pytest.fixture
def node(runtime_with: Callable[..., Runtime]) -> Runtime:
    return runtime_with(destinations=(ARCHIVE,))


def with_profile(node: Runtime, profile: str) -> None:
    changed = ARCHIVE.model_copy(update={"profile": profile})
    node.settings = node.settings.model_copy(update={"destinations": (changed,)})


def results_of(reception: Reception, analysis_id: int) -> dict[str, list[Dataset]]:
    """Return the objects of one analysis by kind, as they lie in the spool."""
    found: dict[str, list[Dataset]] = {}
    for row in reception.rows(ResultObject):
        if row.analysis_id == analysis_id:
            dataset = pydicom.dcmread(reception.spool.file(row.place))
            found.setdefault(row.kind, []).append(dataset)
    return found


def next_results(node: Runtime, reception: Reception) -> dict[str, list[Dataset]]:
    return results_of(reception, run_analysis(node, due_analysis(reception)).id)


def accept_everything(reception: Reception) -> None:
    """Record that the archive has accepted what was made last."""
    newest = reception.rows(Delivery)[-1]
    with reception.database.writing() as session:
        session.add_all(
            DeliveryOutcome(
                delivery_id=newest.id,
                result_object_id=row.id,
                outcome="accepted",
                status="0x0000",
                at=datetime.now(UTC),
            )
            for row in reception.rows(ResultObject)
            if row.analysis_id == newest.analysis_id
        )


def evidence_of(report: Dataset) -> set[tuple[str, str]]:
    return {
        (series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def parts_of(results: dict[str, list[Dataset]]) -> set[tuple[str, str]]:
    return {
        (one.SeriesInstanceUID, one.SOPInstanceUID)
        for kind in ("secondary_capture", "segmentation")
        for one in results[kind]
    }


def test_report_that_is_made_again_for_another_profile_refers_to_where_the_pictures_are(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    first = next_results(node, reception)
    next_results(node, reception)
    with_profile(node, "ohif")

    third = next_results(node, reception)

    assert parts_of(third) == parts_of(first)
    (report,) = third["measurement_report"]
    assert parts_of(first) <= evidence_of(report)
    assert report.SOPInstanceUID != first["measurement_report"][0].SOPInstanceUID


def test_late_image_leaves_no_reference_to_a_series_that_is_not_there(
    node: Runtime, reception: Reception
) -> None:
    first = shown_mammogram("CC")
    reception.receive(first)
    next_results(node, reception)
    late = shown_mammogram("MLO")
    reception.receive(late)

    second = next_results(node, reception)

    images = {(one.SeriesInstanceUID, one.SOPInstanceUID) for one in (first, late)}
    sheet = {(one.SeriesInstanceUID, one.SOPInstanceUID) for one in second["summary_sheet"]}
    assert evidence_of(second["measurement_report"][0]) == parts_of(second) | images | sheet


def labels_of(segmentations: list[Dataset]) -> dict[str, str]:
    """Return the label of the only segment by the image that it is of."""
    return {
        one.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID: (
            one.SegmentSequence[0].SegmentLabel
        )
        for one in segmentations
    }


def test_lesion_keeps_its_number_when_an_image_that_is_hung_before_it_comes_late(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram("MLO"))
    before = labels_of(next_results(node, reception)["segmentation"])
    reception.receive(shown_mammogram("CC"))

    after = labels_of(next_results(node, reception)["segmentation"])

    assert before.items() <= after.items()
    assert sorted(label.split()[0] for label in after.values()) == ["1", "2"]
    node.engine.score = 0.8
    assert labels_of(next_results(node, reception)["segmentation"]) == after


def test_predecessor_is_a_report_that_the_archive_has_accepted(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    (held,) = next_results(node, reception)["measurement_report"]
    accept_everything(reception)
    node.engine.score = 0.6
    next_results(node, reception)  # superseded before it was sent
    node.engine.score = 0.5

    (report,) = next_results(node, reception)["measurement_report"]

    (study,) = report.PredecessorDocumentsSequence
    assert evidence_series(study) == {(held.SeriesInstanceUID, held.SOPInstanceUID)}


def evidence_series(study: Dataset) -> set[tuple[str, str]]:
    return {
        (series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def test_report_that_no_archive_accepted_is_not_referred_to(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    next_results(node, reception)
    node.engine.score = 0.6

    (report,) = next_results(node, reception)["measurement_report"]

    assert "PredecessorDocumentsSequence" not in report
    assert report.InstanceNumber == 2


def retracting(node: Runtime) -> None:
    objects = ("measurement_report", "segmentation", "secondary_capture", "rejection_note")
    node.settings = node.settings.model_copy(
        update={
            "profiles": {"retracting": ProfileSettings(objects=objects)},
            "destinations": (ARCHIVE.model_copy(update={"profile": "retracting"}),),
        }
    )


def test_replaced_pictures_that_the_archive_holds_are_retracted_once(
    node: Runtime, reception: Reception
) -> None:
    retracting(node)
    reception.receive(shown_mammogram())
    first = next_results(node, reception)
    accept_everything(reception)
    node.engine.score = 0.6

    second = next_results(node, reception)
    accept_everything(reception)
    third = next_results(node, reception)

    (note,) = second["rejection_note"]
    replaced = (*first["secondary_capture"], *first["segmentation"])
    assert evidence_of(note) == {(one.SeriesInstanceUID, one.SOPInstanceUID) for one in replaced}
    assert "rejection_note" not in third


def test_replaced_pictures_that_the_archive_never_got_are_not_retracted(
    node: Runtime, reception: Reception
) -> None:
    retracting(node)
    reception.receive(shown_mammogram())
    next_results(node, reception)
    node.engine.score = 0.6

    assert "rejection_note" not in next_results(node, reception)


def test_note_is_the_last_that_is_sent(node: Runtime, reception: Reception) -> None:
    retracting(node)
    reception.receive(shown_mammogram())
    next_results(node, reception)
    accept_everything(reception)
    node.engine.score = 0.6

    next_results(node, reception)

    assert reception.rows(ResultObject)[-1].kind == "rejection_note"
