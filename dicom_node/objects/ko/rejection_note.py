"""Retracts what a new revision replaces, for archives that honour rejection notes."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import (
    SECONDARY_CAPTURE_STORAGE,
    SEGMENTATION_STORAGE,
    ResultKind,
)
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.ko.key_object_document import key_object_document
from dicom_node.objects.products import Product
from dicom_node.objects.references import references_to_former
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.wording import RESEARCH_MARK, to_ascii

_IMAGES: Final = frozenset({SECONDARY_CAPTURE_STORAGE, SEGMENTATION_STORAGE})


def plan(study: AnalysedStudy, before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one note for each choice of objects, if the archives hold what is no longer valid."""
    kind = ResultKind.REJECTION_NOTE
    valid = {str(result.dataset.SOPInstanceUID) for result in before}
    for product in dict.fromkeys(one.product(kind) for one in study.profiles_with(kind)):
        # Of images that were all rejected nothing stays, the reports neither.
        is_all = not study.analysis.findings.analysed
        replaced = [
            former
            for former in study.former
            if (former.product.kind.row.is_retractable or (is_all and former.product.kind != kind))
            and product in former.held_for
            and not former.is_retracted
            and former.sop_instance_uid not in valid
        ]
        if replaced:
            source = next(iter(study.headers().values()))
            yield PlannedObject(
                product=product,
                build=partial(
                    build_rejection_note,
                    source,
                    replaced,
                    product,
                    study.context,
                    reasons=_reasons(study) if is_all else (),
                ),
            )


def build_rejection_note(
    source: Dataset,
    replaced: Sequence[FormerResult],
    product: Product,
    context: ResultContext,
    *,
    reasons: Sequence[str] = (),
) -> Dataset:
    """Name results that are no longer valid, titled "Rejected for Patient Safety Reasons".

    Of the four titles of the profile it is the one that fits: a reader who takes a replaced
    result for the present one may overlook a finding. "Quality Reasons" leaves it to each archive
    whether it goes on to show them, "Incorrect Modality Worklist Entry" says that they are of
    another order or patient, and "Data Retention Policy Expired" that they were right and may be
    deleted.

    Parameters
    ----------
    source : an image of the study
    replaced : one or more, which the archive holds
    reasons : why there is no newer analysis; empty if there is one

    References
    ----------
    IHE RAD TF-2 4.66.4.1.2 (Imaging Object Change Management).
    """
    why = "Results of an earlier analysis, which a newer one replaces."
    if reasons:
        why = f"Results of images that must not be used any more: {'; '.join(reasons)}"
    return key_object_document(
        source,
        ResultKind.REJECTION_NOTE,
        context,
        title=codes.REJECTED_FOR_PATIENT_SAFETY,
        description=to_ascii(f"{RESEARCH_MARK}. {why}"),
        references=[_reference(former) for former in replaced],
        evidence=references_to_former(context.uids.study_instance_uid, replaced),
        variant=product.variant,
    )


def _reasons(study: AnalysedStudy) -> list[str]:
    return sorted({image.reason for image in study.analysis.findings.images if image.reason})


def _reference(former: FormerResult) -> Item:
    kind = content_tree.image if former.sop_class_uid in _IMAGES else content_tree.composite
    # Its row has no name of a purpose (TID 2010): the title says it.
    return kind(Relationship.CONTAINS, former.sop_class_uid, former.sop_instance_uid)
