"""A measurement report refers to its images and results, and to the report it replaces."""

from objects_factory import NEGATIVE, image_of, mammogram, results_of
from study_cases import CASES

from dicom_node.facts.result_kinds import COMPREHENSIVE_SR, ResultKind
from dicom_node.objects.products import OHIF, PACS
from dicom_node.objects.references import PredecessorDocument

OHIF_REPORT = OHIF.product(ResultKind.MEASUREMENT_REPORT)


def test_evidence_lists_images_and_results() -> None:
    results = CASES["one finding"]()
    report = results[-1].dataset

    evidence = {
        reference.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }

    expected = {result.dataset.SOPInstanceUID for result in results[:-1]}
    assert evidence == expected | {mammogram().SOPInstanceUID}


def test_new_revision_names_its_predecessor() -> None:
    dataset = mammogram()
    former = PredecessorDocument(
        study_instance_uid=dataset.StudyInstanceUID,
        series_instance_uid="1.2.3",
        sop_class_uid=COMPREHENSIVE_SR,
        sop_instance_uid="1.2.3.4",
    )

    report = results_of(
        (dataset, image_of(dataset, NEGATIVE)),
        predecessors={OHIF_REPORT: former},
    )[-1].dataset

    series = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == "1.2.3"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"


def test_report_is_not_its_own_predecessor() -> None:
    dataset = mammogram()
    pair = (dataset, image_of(dataset, NEGATIVE))
    report = results_of(pair)[-1].dataset
    itself = PredecessorDocument(
        study_instance_uid=report.StudyInstanceUID,
        series_instance_uid=report.SeriesInstanceUID,
        sop_class_uid=report.SOPClassUID,
        sop_instance_uid=report.SOPInstanceUID,
    )

    again = results_of(pair, predecessors={OHIF_REPORT: itself})[-1].dataset

    assert "PredecessorDocumentsSequence" not in again


def test_other_report_class_is_another_object() -> None:
    dataset = mammogram()
    pair = (dataset, image_of(dataset, NEGATIVE))

    report = results_of(pair, profiles=(PACS,))[-1]

    assert report.dataset.SOPClassUID == COMPREHENSIVE_SR
    assert report.dataset.SOPInstanceUID != results_of(pair)[-1].dataset.SOPInstanceUID
