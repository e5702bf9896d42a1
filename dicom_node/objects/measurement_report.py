"""The report of a study: one TID 1500 structured report over all its images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects import codes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.examination import examination_remarks
from dicom_node.objects.headers import coded, is_multi_frame
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.image_library import build_image_library
from dicom_node.objects.measurement_groups import GroupBuilder
from dicom_node.objects.recognition import MANUFACTURER, MODEL_NAME
from dicom_node.objects.references import PredecessorDocument
from dicom_node.objects.report_modules import complete_report, density_of, outcome_of
from dicom_node.objects.uids import ResultKind
from dicom_node.objects.wording import (
    REGION_REMARK,
    RESEARCH_MARK,
    SCORE_REMARK,
    side_of,
    summary_of,
    to_ascii,
    view_of,
    weights_text,
)
from mammoclip_core.findings import StudyFindings

COMPREHENSIVE_3D_SR: Final = "1.2.840.10008.5.1.4.1.1.88.34"
COMPREHENSIVE_SR: Final = "1.2.840.10008.5.1.4.1.1.88.33"

_CONTAINS: Final = RelationshipTypeValues.CONTAINS


def build_measurement_report(
    sources: Mapping[str, Dataset],
    findings: StudyFindings,
    context: ResultContext,
    *,
    evidence: Sequence[Dataset] = (),
    predecessor: PredecessorDocument | None = None,
    sop_class_uid: str = COMPREHENSIVE_3D_SR,
    variant: str = "",
) -> Dataset:
    """Write the report: what was found where, what was not, and what was not looked at.

    Parameters
    ----------
    sources : headers by SOP Instance UID, in the order of the Image Library
        Every image that the report is to refer to; an image that was left out may be absent.
    evidence : segmentations and pictures of the same analysis
    sop_class_uid : Comprehensive 3D SR or Comprehensive SR
    variant : what tells it from another report of the same answer; the SOP class if empty

    Raises
    ------
    ObjectRefusedError
        No image was analysed and none failed, or an outline lies outside its image.

    References
    ----------
    PS3.16 TID 1500; PS3.3 A.35.3, A.35.13.
    """
    identity = context.identity
    groups = GroupBuilder(findings=findings, sources=sources, context=context).build()
    if not groups:
        raise ObjectRefusedError(f"no image of study {findings.study_instance_uid} was analysed")
    content = MeasurementReport(
        observation_context=_observation_context(identity),
        procedure_reported=codes.PROCEDURE,
        imaging_measurements=groups,
        title=dictionary.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            coded(codes.LANGUAGE)
        ),
    )[0]
    _insert_library(
        content, build_image_library(tuple(sources.values()), _frames_used(findings, sources))
    )
    content.ContentSequence.append(_qualitative_evaluations(findings, sources, identity))
    content.ContinuityOfContent = "SEPARATE"

    report = Dataset()
    report.update({element.tag: element for element in content})
    report.SOPClassUID = sop_class_uid
    complete_report(
        report,
        ResultKind.MEASUREMENT_REPORT,
        variant or sop_class_uid,
        context,
        sources=sources,
        findings=findings,
        evidence=evidence,
        predecessor=predecessor,
    )
    return report


def _observation_context(identity: ResultIdentity) -> ObservationContext:
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=dictionary.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=identity.device_uid,
                name=MODEL_NAME,
                manufacturer_name=MANUFACTURER,
                model_name=MODEL_NAME,
                serial_number=identity.serial_number,
            ),
        )
    )


def _insert_library(content: ContentItem, library: ContainerContentItem) -> None:
    """Put the library before the measurements, where TID 1500 has it."""
    content.ContentSequence.insert(len(content.ContentSequence) - 1, library)


def _frames_used(findings: StudyFindings, sources: Mapping[str, Dataset]) -> dict[str, list[int]]:
    used: dict[str, list[int]] = {}
    for image in findings.analysed:
        if is_multi_frame(sources[image.sop_instance_uid]):
            used.setdefault(image.sop_instance_uid, []).append(image.frame)
    return used


def _qualitative_evaluations(
    findings: StudyFindings, sources: Mapping[str, Dataset], identity: ResultIdentity
) -> ContainerContentItem:
    """State the results of the whole study, and how they may be used."""
    container = ContainerContentItem(codes.QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    items = [CodeContentItem(codes.PROCESSING_SUMMARY, _outcome_of(findings), _CONTAINS)]
    density = density_of(findings)
    if density is not None:
        items.append(
            CodeContentItem(codes.BREAST_COMPOSITION, codes.BREAST_COMPOSITIONS[density], _CONTAINS)
        )
    items.append(TextContentItem(codes.NARRATIVE_SUMMARY, _narrative(identity), _CONTAINS))
    items.extend(
        TextContentItem(codes.COMMENT, text, _CONTAINS)
        for text in _comments(findings, sources, identity)
    )
    container.ContentSequence = ContentSequence(items)
    return container


def _outcome_of(findings: StudyFindings) -> Code:
    found = any(f.above_threshold for image in findings.analysed for f in image.findings)
    return outcome_of(found=found, succeeded=bool(findings.analysed), failed=findings.is_partial)


def _narrative(identity: ResultIdentity) -> str:
    warning = f" {to_ascii(identity.warning)}" if identity.warning else ""
    return f"{RESEARCH_MARK}.{warning}"


def _comments(
    findings: StudyFindings, sources: Mapping[str, Dataset], identity: ResultIdentity
) -> Iterator[str]:
    yield f"{SCORE_REMARK} {REGION_REMARK}"
    if findings.study:
        yield f"Study: {summary_of(findings.study)}."
    for breast in findings.breasts:
        density = f"; density {breast.density}" if breast.density else ""
        yield f"{side_of(breast.laterality).capitalize()}: {summary_of(breast.findings)}{density}."
    for image in findings.analysed:
        yield f"{view_of(image)}: {summary_of(image.findings) or 'no scores'}."
    yield from examination_remarks(findings, sources)
    yield weights_text(identity)
