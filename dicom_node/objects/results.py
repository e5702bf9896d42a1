"""All result objects of one analysed study, in the order in which they are sent."""

import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TypeAlias

from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import (
    DEFAULT_OPTIONS,
    AnalysedStudy,
    PlannedObject,
    ResultObject,
    ResultOptions,
)
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.palette import colors_of
from dicom_node.objects.elements.header_values import readable
from dicom_node.objects.findings.examination_scores import examination_scores
from dicom_node.objects.findings.lesions import lesion_views
from dicom_node.objects.findings.reported_findings import reported
from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.frames import by_frame
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.modules.one_patient import of_one_patient
from dicom_node.objects.modules.shared_modules import require_one_study
from dicom_node.objects.naming import name_objects, unnamed
from dicom_node.objects.products import OHIF, Profile
from dicom_node.objects.sources import SourceInstance, require_sources
from dicom_node.objects.terms.view_names import with_view_names
from dicom_node.objects.terms.wording import in_ascii
from dicom_node.objects.uids import StudyUIDs
from mammoclip_core.findings import ImageFindings, StudyAnalysis
from mammoclip_core.images.header.views import STANDARD_VIEWS
from mammoclip_core.lesion_numbers import numbered

Plan: TypeAlias = Callable[[AnalysedStudy, Sequence[ResultObject]], Iterable[PlannedObject]]
"""What ``plan`` of a builder's module is: from a study and its objects so far to what is next."""


def build_results(
    sources: Sequence[SourceInstance],
    analysis: StudyAnalysis,
    identity: ResultIdentity,
    *,
    profiles: Collection[Profile] = (OHIF,),
    former: Sequence[FormerResult] = (),
    options: ResultOptions = DEFAULT_OPTIONS,
) -> tuple[ResultObject, ...]:
    """Build all that `stream_results` yields, and hold it in memory."""
    return tuple(
        stream_results(
            sources, analysis, identity, profiles=profiles, former=former, options=options
        )
    )


def stream_results(
    sources: Sequence[SourceInstance],
    analysis: StudyAnalysis,
    identity: ResultIdentity,
    *,
    profiles: Collection[Profile] = (OHIF,),
    former: Sequence[FormerResult] = (),
    options: ResultOptions = DEFAULT_OPTIONS,
) -> Iterator[ResultObject]:
    """Build everything that the destinations of one study are to be sent, a series at a time.

    An object that was yielded is not held any longer: its receiver writes and drops it, so that
    the pictures of a study are never in memory beside all its segmentations.

    Parameters
    ----------
    sources : every image of the study that was offered to the model
        Where they spell the patient in several ways, the last one that tells the most counts.
    profiles : of the destinations; what two of them share is built once
    former : the results of all former revisions of the study
        What is as it was has the UIDs of the newest of them; what is new refers to nothing else.

    Yields
    ------
    ResultObject
        An object comes after those that it refers to. Equal arguments give objects that are equal
        byte for byte except in the times of their creation.

    Raises
    ------
    ObjectRefusedError
        The sources disagree about the patient or the study, lack what an object must say, or do
        not fit the findings. The message names the instance and the attribute, never a value.
    """
    findings = reported(analysis.findings)
    # A warning of the weights is never lost, whoever makes the objects.
    warning = identity.warning or findings.bundle.warning or ""
    identity = in_ascii(replace(identity, warning=warning))
    headers_read = [readable(source.dataset) for source in sources]
    require_one_study(headers_read, findings.study_instance_uid)
    sources = [
        replace(source, dataset=header)
        for source, header in zip(sources, of_one_patient(headers_read), strict=True)
    ]
    by_uid = {str(source.dataset.SOPInstanceUID): source for source in sources}
    headers = {uid: source.dataset for uid, source in by_uid.items()}
    hung = sorted(by_frame(with_view_names(findings.images, headers)), key=_hanging_order)
    images = numbered(hung)
    require_sources(images, by_uid)
    study = AnalysedStudy(
        by_uid=by_uid,
        analysis=replace(analysis, findings=replace(findings, images=images)),
        context=ResultContext(
            identity=unnamed(identity),
            uids=StudyUIDs.of(findings),
            colors=colors_of(images),
            scores=examination_scores(findings),
            lesions=lesion_views(images),
        ),
        options=options,
        profiles=tuple(dict.fromkeys(profiles)),
        former=former,
    )
    before: list[ResultObject] = []
    for kind in ResultKind:
        if study.profiles_with(kind):
            planned = list(plan_of(kind)(study, tuple(before)))
            for together in _named_together(kind, planned):
                results = _built(together, study, identity)
                before.extend(replace(one, dataset=_names_of(one.dataset)) for one in results)
                # Nothing here holds an object that was handed on: pixels are large.
                while results:
                    yield results.pop(0)


def _named_together(
    kind: ResultKind, planned: Sequence[PlannedObject]
) -> Iterator[Sequence[PlannedObject]]:
    """Part objects by series where each has one: the UIDs of a series follow from all of it."""
    if kind.row.has_series_per_image:
        yield from ([one] for one in planned)
    elif planned:
        yield planned


def _built(
    planned: Sequence[PlannedObject], study: AnalysedStudy, identity: ResultIdentity
) -> list[ResultObject]:
    with _without_collector():
        results = [
            ResultObject(
                product=one.product,
                dataset=one.build(),
                source_sop_instance_uid=one.source_sop_instance_uid,
            )
            for one in planned
        ]
        for product in dict.fromkeys(result.product for result in results):
            own = [result.dataset for result in results if result.product == product]
            name_objects(product, own, identity, study.former)
    return results


@contextmanager
def _without_collector() -> Iterator[None]:
    """Hold the garbage collector up while objects are built.

    They are a hundred thousand small parts that live, so that it would go again and again through
    all that the process holds, for an eighth of the time, and find nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _names_of(dataset: Dataset) -> Dataset:
    """Return what later objects refer to an object by."""
    names = Dataset()
    names.SOPClassUID, names.SOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    names.SeriesInstanceUID = dataset.SeriesInstanceUID
    return names


def plan_of(kind: ResultKind) -> Plan:
    """Return ``plan`` of the module that the row of a kind names; loaded at first use."""
    plan: Plan = import_module(f"dicom_node.objects.{kind.row.builder}").plan
    return plan


def _hanging_order(
    image: ImageFindings,
) -> tuple[int, str, str, tuple[str, ...], int, str, int]:
    """Sort as mammograms are hung: RCC, LCC, RMLO, LMLO, then the rest."""
    view = (image.laterality, image.view_position)
    place = STANDARD_VIEWS.index(view) if view in STANDARD_VIEWS else len(STANDARD_VIEWS)
    return (
        *(place, image.view_position, image.laterality, image.view_modifiers, image.repetition),
        *(image.sop_instance_uid, image.frame),
    )
