"""The report of a study: one TID 1500 structured report over all its images."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import COMPREHENSIVE_3D_SR, ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.content.image_library import build_image_library
from dicom_node.objects.context import ResultContext
from dicom_node.objects.modules.report_modules import complete_report
from dicom_node.objects.modules.shared_modules import is_multi_frame
from dicom_node.objects.products import Product, Profile
from dicom_node.objects.sr.evaluations import EvaluationsBuilder
from dicom_node.objects.sr.measurement_groups import region_groups
from dicom_node.objects.sr.observation_items import device_observer, language
from dicom_node.objects.terms import codes
from mammoclip_core.findings import StudyFindings


def plan(study: AnalysedStudy, before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one report for each choice of SOP Class and of parts that go with it."""
    kind = ResultKind.MEASUREMENT_REPORT
    for product, profile in {one.product(kind): one for one in study.profiles_with(kind)}.items():
        yield PlannedObject(
            product=product, build=partial(_report, study, before, product, profile)
        )


def build_measurement_report(
    sources: Mapping[str, Dataset],
    findings: StudyFindings,
    context: ResultContext,
    *,
    evidence: Sequence[Dataset] = (),
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
    if not findings.analysed and not findings.is_partial:
        raise ObjectRefusedError(f"no image of study {findings.study_instance_uid} was analysed")
    root = content_tree.container(
        Relationship.CONTAINS,
        codes.MEASUREMENT_REPORT,
        list(_content(sources, findings, context)),
        template="1500",
    )
    report = content_tree.assembled(root)
    report.SOPClassUID = sop_class_uid
    complete_report(
        report,
        ResultKind.MEASUREMENT_REPORT,
        variant or sop_class_uid,
        context,
        sources=sources,
        findings=findings,
        evidence=evidence,
    )
    return report


def _report(
    study: AnalysedStudy, before: Sequence[ResultObject], product: Product, profile: Profile
) -> Dataset:
    return build_measurement_report(
        study.library(),
        study.analysis.findings,
        study.context,
        evidence=[part.dataset for part in before if part.product in profile.parts],
        sop_class_uid=profile.report_sop_class_uid,
        variant=product.variant,
    )


def _content(
    sources: Mapping[str, Dataset], findings: StudyFindings, context: ResultContext
) -> Iterator[Item]:
    """Yield what stands under the root, in the order of the template's rows."""
    yield language()
    yield from device_observer(context.identity)
    yield content_tree.code(Relationship.HAS_CONCEPT_MOD, codes.PROCEDURE_REPORTED, codes.PROCEDURE)
    yield build_image_library(tuple(sources.values()), _frames_used(findings, sources))
    groups = list(region_groups(findings, sources, context))
    if groups:  # an empty container is read by no one: highdicom 0.28 fails on it
        yield content_tree.container(
            Relationship.CONTAINS, codes.MEASUREMENTS, groups, continuity="CONTINUOUS"
        )
    yield EvaluationsBuilder(findings=findings, sources=sources, context=context).build()


def _frames_used(findings: StudyFindings, sources: Mapping[str, Dataset]) -> dict[str, list[int]]:
    used: dict[str, list[int]] = {}
    for image in findings.analysed:
        if is_multi_frame(sources[image.sop_instance_uid]):
            used.setdefault(image.sop_instance_uid, []).append(image.frame)
    return used
