"""All result objects of one analysed study, in the order in which they are sent."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from types import MappingProxyType
from typing import TypeAlias

from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import (
    DEFAULT_OPTIONS,
    AnalysedStudy,
    PlannedObject,
    ResultOptions,
)
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.palette import colors_of
from dicom_node.objects.examination_scores import examination_scores
from dicom_node.objects.frames import by_frame
from dicom_node.objects.header_values import readable
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.products import OHIF, Product, Profile
from dicom_node.objects.references import PredecessorDocument
from dicom_node.objects.reported_findings import reported
from dicom_node.objects.shared_modules import require_one_study
from dicom_node.objects.sources import SourceInstance, require_sources
from dicom_node.objects.uids import AnalysisUIDs
from mammoclip_core.findings import ImageFindings, StudyAnalysis
from mammoclip_core.images.views import STANDARD_VIEWS

Plan: TypeAlias = Callable[[AnalysedStudy, Sequence[PlannedObject]], Iterable[PlannedObject]]
"""What ``plan`` of a builder's module is: of a study and of what is built before, to objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One object to send.

    Attributes
    ----------
    source_sop_instance_uid : of the one image that the object is for; None for a whole study
    """

    product: Product
    dataset: Dataset
    source_sop_instance_uid: str | None = None

    @property
    def kind(self) -> ResultKind:
        """Return the kind of the object, whatever its form."""
        return self.product.kind


def plan_results(
    sources: Sequence[SourceInstance],
    analysis: StudyAnalysis,
    identity: ResultIdentity,
    *,
    profiles: Collection[Profile] = (OHIF,),
    predecessors: Mapping[Product, PredecessorDocument] = MappingProxyType({}),
    options: ResultOptions = DEFAULT_OPTIONS,
) -> tuple[PlannedObject, ...]:
    """Name everything that the destinations of one study are to be sent, and build nothing yet.

    Parameters
    ----------
    sources : every image of the study that was offered to the model, in any order
        Their SOP Instance UIDs enter the UIDs of the results.
    profiles : of the destinations; what two of them share is planned once
    predecessors : the reports of the former revision, each by what it was a form of

    Returns
    -------
    tuple of PlannedObject
        Pictures and segmentations first, then the reports that refer to them. Byte-identical for
        equal arguments, whichever of them are built.

    Raises
    ------
    ObjectRefusedError
        The sources disagree about the patient or the study, lack what an object must say, or do
        not fit the findings. The message names the instance and the attribute, never a value.
    """
    findings = reported(analysis.findings)
    sources = [replace(source, dataset=readable(source.dataset)) for source in sources]
    require_one_study([source.dataset for source in sources], findings.study_instance_uid)
    by_uid = {str(source.dataset.SOPInstanceUID): source for source in sources}
    images = sorted(by_frame(findings.images), key=_hanging_order)
    require_sources(images, by_uid)
    study = AnalysedStudy(
        by_uid=by_uid,
        analysis=replace(analysis, findings=replace(findings, images=tuple(images))),
        context=ResultContext(
            identity=identity,
            uids=AnalysisUIDs.of(findings, by_uid, identity.revision),
            colors=colors_of(images),
            scores=examination_scores(findings),
        ),
        options=options,
        profiles=tuple(dict.fromkeys(profiles)),
        predecessors=predecessors,
    )
    planned: list[PlannedObject] = []
    for kind in ResultKind:
        if study.profiles_with(kind):
            planned.extend(plan_of(kind)(study, tuple(planned)))
    return tuple(planned)


def build_results(
    sources: Sequence[SourceInstance],
    analysis: StudyAnalysis,
    identity: ResultIdentity,
    *,
    profiles: Collection[Profile] = (OHIF,),
    predecessors: Mapping[Product, PredecessorDocument] = MappingProxyType({}),
    options: ResultOptions = DEFAULT_OPTIONS,
) -> tuple[ResultObject, ...]:
    """Build everything that `plan_results` names."""
    return tuple(
        ResultObject(
            product=planned.product,
            dataset=planned.build(),
            source_sop_instance_uid=planned.source_sop_instance_uid,
        )
        for planned in plan_results(
            sources,
            analysis,
            identity,
            profiles=profiles,
            predecessors=predecessors,
            options=options,
        )
    )


def plan_of(kind: ResultKind) -> Plan:
    """Return ``plan`` of the module that the row of a kind names; loaded at first use."""
    plan: Plan = import_module(f"dicom_node.objects.{kind.row.builder}").plan
    return plan


def _hanging_order(image: ImageFindings) -> tuple[int, str, str, str, int]:
    """Sort as mammograms are hung: RCC, LCC, RMLO, LMLO, then the rest."""
    view = (image.laterality, image.view_position)
    place = STANDARD_VIEWS.index(view) if view in STANDARD_VIEWS else len(STANDARD_VIEWS)
    return place, image.view_position, image.laterality, image.sop_instance_uid, image.frame
