"""How far the study of a workitem is, by the ledger."""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.identity import is_one_patient
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.procedure_steps.tables import Workitem
from dicom_node.studies.ledger.queries.remarks import has_nothing_to_analyse, set_aside_in_words
from dicom_node.studies.ledger.states import (
    TAKEN,
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    Instance,
    ResultObject,
    Study,
)
from dicom_node.workitems.messages import Output

_HERE: Final = (InstanceState.RECEIVED, InstanceState.REGISTERED, InstanceState.SET_ASIDE)
_STOPPED: Final = (DeliveryState.REFUSED, DeliveryState.EXPIRED)
_BY_RULE: Final = "not analysed by rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a study is.

    Attributes
    ----------
    percent, text : for the report of progress
    study_id : None if nothing of the study came so far
    missing : SOP Instance UIDs of inputs that are not here
    is_answered : whether there is an answer, which is being delivered or was
    revision : whose results are with every destination; 0: of none
    stopped : the stable word for what keeps the study from an answer, and words; None if nothing
    """

    percent: int
    text: str
    study_id: int | None = None
    missing: tuple[str, ...] = ()
    is_answered: bool = False
    revision: int = 0
    stopped: tuple[str, str] | None = None


def standing_of(session: Session, row: Workitem, *, confirming: Collection[str]) -> Standing:
    """Say how far the study of a workitem is.

    Parameters
    ----------
    confirming : names of destinations that are asked for proof, which is waited for
    """
    wanted: list[str] = json.loads(row.inputs)
    query = select(Study).where(Study.study_instance_uid == row.study_instance_uid)
    study = session.scalars(query).first()
    if study is None:
        return Standing(percent=0, text="waiting for images", missing=tuple(wanted))
    instances = session.scalars(select(Instance).where(Instance.study_id == study.id)).all()
    if is_of_another(row.patient_digest, instances):
        why = "the images of this study are of another patient than the workitem names"
        return Standing(percent=0, text=why, study_id=study.id, stopped=("other-study", why))
    analysis = _newest(session, study)
    is_done = analysis is not None and analysis.state is AnalysisState.DONE
    here = {
        one.sop_instance_uid
        for one in instances
        if is_done or (one.state in _HERE and one.removed_at is None)
    }
    if missing := tuple(uid for uid in wanted if uid not in here):
        text = f"{len(wanted) - len(missing)} of {len(wanted)} images are here"
        return Standing(percent=5, text=text, study_id=study.id, missing=missing)
    if study.state is not StudyState.SETTLED:
        return Standing(percent=10, text="all images are here", study_id=study.id)
    if analysis is None:
        return _unanalysed(session, study, instances)
    return _analysed(session, study, analysis, confirming)


def is_of_another(patient_digest: str, instances: Sequence[Instance]) -> bool:
    """Return whether images are of another patient than somebody says."""
    stored = [one.patient_digest for one in instances if one.patient_digest]
    kept = [
        one.patient_digest
        for one in instances
        if one.patient_digest and one.state is not InstanceState.SET_ASIDE
    ]
    return bool(patient_digest) and bool(stored) and not is_one_patient([patient_digest, *kept])


def outputs_of(session: Session, row: Workitem, settings: Settings) -> tuple[Output, ...]:
    """Return the results of a workitem, by series, with where each can be retrieved."""
    query = (
        select(ResultObject, Delivery.destination)
        .join(Analysis, Analysis.id == ResultObject.analysis_id)
        .join(Study, Study.id == Analysis.study_id)
        .join(DeliveryOutcome, DeliveryOutcome.result_object_id == ResultObject.id)
        .join(Delivery, Delivery.id == DeliveryOutcome.delivery_id)
        .where(
            Study.study_instance_uid == row.study_instance_uid,
            Analysis.revision == row.analysis_revision,
            DeliveryOutcome.outcome.in_(TAKEN),
        )
        .order_by(ResultObject.id)
    )
    objects: defaultdict[str, dict[str, str]] = defaultdict(dict)
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for result, destination in session.execute(query):
        objects[result.series_instance_uid][result.sop_instance_uid] = result.sop_class_uid
        holders[result.series_instance_uid].add(destination)
    return tuple(
        Output(
            study_instance_uid=row.study_instance_uid,
            series_instance_uid=series,
            objects=tuple((sop_class, uid) for uid, sop_class in found.items()),
            titles=tuple(_titles(holders[series], settings)),
            urls=tuple(_urls(holders[series], settings, row.study_instance_uid, series)),
        )
        for series, found in objects.items()
    )


def _unanalysed(session: Session, study: Study, instances: Sequence[Instance]) -> Standing:
    if not has_nothing_to_analyse(study.remark):
        return Standing(percent=10, text=study.remark or "settled", study_id=study.id)
    if study.remark.startswith(_BY_RULE):
        word, text = "refused-by-rule", study.remark
    else:
        reasons = [one.reason for one in instances if one.state is InstanceState.SET_ASIDE]
        word = reasons[0] if reasons else "nothing-to-analyse"
        text = "; ".join(filter(None, (study.remark, set_aside_in_words(session, study))))
    return Standing(percent=10, text=text, study_id=study.id, stopped=(word, text))


def _analysed(
    session: Session, study: Study, analysis: Analysis, confirming: Collection[str]
) -> Standing:
    match analysis.state:
        case AnalysisState.RUNNING:
            return Standing(percent=30, text="being analysed", study_id=study.id)
        case AnalysisState.FAILED:
            why = f"the analysis failed: {analysis.reason}"
            return Standing(
                percent=30, text=why, study_id=study.id, stopped=("analysis-failed", why)
            )
        case AnalysisState.CANCELLED:
            why = f"the analysis was cancelled at the node: {analysis.reason}"
            return Standing(
                percent=30, text=why, study_id=study.id, stopped=("analysis-cancelled", why)
            )
        case AnalysisState.DONE:
            return _answered(session, study, analysis, confirming)
    return Standing(percent=15, text="waiting to be analysed", study_id=study.id)


def _answered(
    session: Session, study: Study, analysis: Analysis, confirming: Collection[str]
) -> Standing:
    query = select(Delivery).where(Delivery.analysis_id == analysis.id).order_by(Delivery.id)
    deliveries = session.scalars(query).all()
    stopped: tuple[str, str] | None = None
    if not deliveries:
        stopped = "not-delivered", "the results are sent nowhere by the rules of the node"
    for one in deliveries:
        if one.state in _STOPPED:
            stopped = "not-delivered", f"the results did not reach {one.destination}: {one.reason}"
    if stopped is not None:
        return Standing(
            percent=80, text=stopped[1], study_id=study.id, is_answered=True, stopped=stopped
        )
    sent = [one for one in deliveries if one.state is not DeliveryState.HELD] or deliveries
    left = [one for one in sent if not _is_stored(one, confirming)]
    if not left:
        return Standing(
            percent=100,
            text="results are stored",
            study_id=study.id,
            is_answered=True,
            revision=analysis.revision,
        )
    waits = ", ".join(f"{one.destination} ({one.reason or one.state})" for one in left)
    return Standing(
        percent=80, text=f"analysed; waiting for {waits}", study_id=study.id, is_answered=True
    )


def _is_stored(delivery: Delivery, confirming: Collection[str]) -> bool:
    if delivery.destination in confirming:
        return delivery.state in {DeliveryState.CONFIRMED, DeliveryState.COMMITTED}
    return delivery.state in TAKEN


def _newest(session: Session, study: Study) -> Analysis | None:
    query = select(Analysis).where(Analysis.study_id == study.id)
    return session.scalars(query.order_by(Analysis.revision.desc()).limit(1)).first()


def _titles(names: Collection[str], settings: Settings) -> list[str]:
    known = (settings.archive(name) for name in sorted(names))
    return [one.ae_title for one in known if isinstance(one, DicomDestination)]


def _urls(names: Collection[str], settings: Settings, study: str, series: str) -> list[str]:
    known = (settings.archive(name) for name in sorted(names))
    return [
        f"{one.url.rstrip('/')}/studies/{study}/series/{series}"
        for one in known
        if one is not None and not isinstance(one, DicomDestination)
    ]
