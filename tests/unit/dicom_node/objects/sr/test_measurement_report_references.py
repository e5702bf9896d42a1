"""A measurement report refers to its images and results."""

from objects_factory import NEGATIVE, image_of, mammogram, results_of
from study_cases import CASES

from dicom_node.facts.result_kinds import COMPREHENSIVE_SR
from dicom_node.objects.products import PACS


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


def test_other_report_class_is_another_object() -> None:
    dataset = mammogram()
    pair = (dataset, image_of(dataset, NEGATIVE))

    report = results_of(pair, profiles=(PACS,))[-1]

    assert report.dataset.SOPClassUID == COMPREHENSIVE_SR
    assert report.dataset.SOPInstanceUID != results_of(pair)[-1].dataset.SOPInstanceUID
