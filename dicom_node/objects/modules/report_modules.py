"""The modules that all reports share, and what they conclude of a study as a whole."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.context import ResultContext
from dicom_node.objects.elements.legal_items import legal_element
from dicom_node.objects.modules.requested_procedures import referenced_requests
from dicom_node.objects.modules.shared_modules import stamp
from dicom_node.objects.references import references_to
from dicom_node.objects.terms import codes
from mammoclip_core.findings import DENSITY_CATEGORIES, ImageStatus, StudyFindings

_FATES: Final = {
    ImageStatus.ANALYSED: "Images analyzed",
    ImageStatus.FAILED: "failed",
    ImageStatus.LEFT_OUT: "left out",
}


def complete_report(
    report: Dataset,
    kind: ResultKind,
    variant: str,
    context: ResultContext,
    *,
    sources: Mapping[str, Dataset],
    findings: StudyFindings,
    evidence: Sequence[Dataset],
) -> None:
    """Write series, document and identity of a report around its content, in place.

    Parameters
    ----------
    report : its content tree and SOP Class UID
    variant : what tells it from another report of the same kind and answer; may be empty
    sources : headers by SOP Instance UID, of every image that the content refers to
    evidence : further instances that the report rests on

    References
    ----------
    PS3.3 C.17.1, C.17.2.
    """
    source = next(iter(sources.values()))
    # SR Document Series (PS3.3 C.17.1)
    report.Modality = "SR"
    report.ReferencedPerformedProcedureStepSequence = []
    # SR Document General (PS3.3 C.17.2)
    report.InstanceNumber = context.identity.revision
    report.CompletionFlag = "PARTIAL" if findings.is_partial else "COMPLETE"
    report.CompletionFlagDescription = _completion_of(findings)
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    performed = legal_element(source, "ProcedureCodeSequence")
    report.PerformedProcedureCodeSequence = [] if performed is None else performed.value
    report.CurrentRequestedProcedureEvidenceSequence = references_to(
        findings.study_instance_uid, [*sources.values(), *evidence]
    )
    # SOP Common (PS3.3 C.12.1)
    report.SOPInstanceUID = context.uids.sop_instance_uid(kind, variant)
    source = next(iter(sources.values()))
    stamp(report, source, kind, context, variant)
    requests = referenced_requests(report, sources.values())
    if requests:
        report.ReferencedRequestSequence = requests


def _completion_of(findings: StudyFindings) -> str:
    """Say in at most 64 characters how many images the report is of."""
    fates = {
        status: len({one.sop_instance_uid for one in findings.images if one.status is status})
        for status in ImageStatus
    }
    return ", ".join(
        f"{words}: {fates[status]}"
        for status, words in _FATES.items()
        if fates[status] or status is ImageStatus.ANALYSED
    )


def outcome_of(*, found: bool, succeeded: bool, failed: bool) -> Code:
    """Return the summary that follows from the content of a report (CID 6047).

    Parameters
    ----------
    found : whether the report has a finding
    succeeded, failed : whether any image was read, and whether any could not be
    """
    if not succeeded:
        return codes.NOT_SUCCEEDED
    if failed:
        return (
            codes.PARTLY_SUCCEEDED_WITH_FINDINGS
            if found
            else codes.PARTLY_SUCCEEDED_WITHOUT_FINDINGS
        )
    return codes.SUCCEEDED_WITH_FINDINGS if found else codes.SUCCEEDED_WITHOUT_FINDINGS


def density_of(findings: StudyFindings) -> str | None:
    """Return the category of the denser breast, by which BI-RADS reports an examination."""
    categories = [breast.density for breast in findings.breasts if breast.density is not None]
    return max(categories, key=DENSITY_CATEGORIES.index, default=None)
