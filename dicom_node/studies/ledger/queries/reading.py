"""Reads studies, their state and their history for people and scripts."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from dicom_node.errors import UnknownStudyError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.priority import Priority
from dicom_node.routing.route import Route
from dicom_node.studies.ledger.assessment_tables import Assessment
from dicom_node.studies.ledger.destinations.waits import HELD, Waits
from dicom_node.studies.ledger.due.pauses import Paused
from dicom_node.studies.ledger.due.standstill import is_standstill, standstill
from dicom_node.studies.ledger.due.workers import QUEUE_OF_ANALYSES
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.queries.remarks import (
    correction_in_words,
    has_nothing_to_analyse,
    removal_in_words,
    set_aside_in_words,
)
from dicom_node.studies.ledger.site_tables import CommitmentRequest, ShadowAnalysis
from dicom_node.studies.ledger.spools import names_if_several
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
    Transition,
    as_facts,
)

LONGEST_LIST: Final = 1000
"""Rows of each kind that are read of one study unless somebody asks for more."""

_ONE_NODE: Final[Mapping[int, str]] = {}

_IMAGES: Final = frozenset({InstanceState.REGISTERED, InstanceState.REMOVED})
"""States of images that a study has, or had."""

_SOON: Final = timedelta(seconds=30)
"""Time in which a worker that is free takes up what is due, several times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """One line of ``mammoclip-node studies``.

    Attributes
    ----------
    condition : one word
        Computed from the state machines: receiving, held, waiting, analysing, delivering,
        delivered, done, failed, cancelled, refused, expired or nothing-to-analyse.
    priority : stat, routine or off-peak
    proof : accepted, confirmed or committed
        How far the proof of a delivered study has come, by its least proven delivery; else empty.
    reason : what needs action, what is waited for, what the results lack, what was corrected,
        what was set aside and whose files were removed; else empty
    images : those received, whether their files are still there or not
    node : host and folder of the spool that got its first object; empty if there is one spool
    """

    study_instance_uid: str
    condition: str
    proof: str
    priority: str
    reason: str
    revision: int
    images: int
    set_aside: int
    last_received_at: str
    node: str = ""


def summaries(
    session: Session, *, limit: int, destinations: frozenset[str] | None = None
) -> list[StudySummary]:
    """Summarise the studies, most recently received first.

    Parameters
    ----------
    destinations : names of those in the settings; None if they are not known
    """
    # A canary study is no patient's, and is shown by its UID alone.
    rows = session.scalars(
        select(Study)
        .where(Study.state != StudyState.ERASED, Study.study_instance_uid != CANARY_STUDY)
        .order_by(Study.last_received_at.desc())
        .limit(limit)
    )
    return summaries_of(session, rows, destinations=destinations)


def summaries_of(
    session: Session, studies: Iterable[Study], *, destinations: frozenset[str] | None = None
) -> list[StudySummary]:
    """Summarise studies that were found before."""
    waits = Waits.read(session, destinations=destinations)
    nodes = names_if_several(session)
    return [summary(session, study, waits, nodes) for study in studies]


def summary(
    session: Session, study: Study, waits: Waits | None = None, nodes: Mapping[int, str] = _ONE_NODE
) -> StudySummary:
    """Summarise one study.

    Parameters
    ----------
    nodes : names of the spools by their numbers, if there are several
    """
    condition, reason = _condition(session, study, waits or Waits.read(session))
    # Once for all that is said of them: a page has many studies.
    query = select(Instance).where(Instance.study_id == study.id).order_by(Instance.id)
    rows = session.scalars(query).all()
    if study.state is not StudyState.OPEN:  # what is set aside now may be sent again
        reason = _joined(
            reason,
            correction_in_words(session, study, rows),
            set_aside_in_words(session, study, rows),
            # A held study says so itself.
            "" if condition == "held" else removal_in_words(session, study),
        )
    return StudySummary(
        study_instance_uid=study.study_instance_uid,
        condition=condition,
        proof=_proof(session, study) if condition == "delivered" else "",
        priority=Priority(study.priority).word,
        reason=reason,
        revision=study.revision,
        # By UID: an image that was sent again after its file was removed is one image.
        images=len({row.sop_instance_uid for row in rows if row.state in _IMAGES}),
        set_aside=sum(row.state is InstanceState.SET_ASIDE for row in rows),
        last_received_at=study.last_received_at.isoformat(timespec="seconds"),
        node=nodes.get(study.spool_id, ""),
    )


def find_study(session: Session, study_instance_uid: str) -> Study:
    """Return a study by its UID.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    """
    query = select(Study).where(
        Study.study_instance_uid == study_instance_uid, Study.state != StudyState.ERASED
    )
    study = session.scalars(query).first()
    if study is None:
        raise UnknownStudyError(
            f"study {study_instance_uid} is not in the ledger: 'mammoclip-node studies' lists "
            "those that are"
        )
    return study


def set_aside_without_study(session: Session, *, limit: int) -> list[dict[str, Any]]:
    """List objects that are set aside and belong to no study, newest first."""
    rows = session.scalars(
        select(Instance)
        .where(Instance.study_id.is_(None), Instance.state == InstanceState.SET_ASIDE)
        .order_by(Instance.received_at.desc())
        .limit(limit)
    )
    return [as_facts(row) for row in rows]


def study_record(
    session: Session,
    study: Study,
    *,
    limit: int = LONGEST_LIST,
    destinations: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Return what the ledger holds of one study, with its history in order.

    Parameters
    ----------
    destinations : names of those in the settings; None if they are not known
    limit : rows of each kind that are read, the newest ones; what there is besides is counted
        under ``left_out``
    """
    left_out: dict[str, int] = {}

    def newest(kind: str, table: Any, of: Any) -> list[Any]:
        query = select(table).where(of).order_by(table.id.desc()).limit(limit)
        rows = list(session.scalars(query))[::-1]
        if len(rows) == limit:
            more = (session.scalar(select(func.count(table.id)).where(of)) or 0) - limit
            left_out.update({kind: more} if more else {})
        return rows

    instances = newest("instances", Instance, Instance.study_id == study.id)
    analyses = newest("analyses", Analysis, Analysis.study_id == study.id)
    ids = [row.id for row in analyses]
    deliveries = newest("deliveries", Delivery, Delivery.analysis_id.in_(ids))
    results = newest("results", ResultObject, ResultObject.analysis_id.in_(ids))
    of_these = and_(
        DeliveryOutcome.delivery_id.in_([row.id for row in deliveries]),
        DeliveryOutcome.result_object_id.in_([row.id for row in results]),
    )
    outcomes = newest("outcomes", DeliveryOutcome, of_these)
    shadows = newest("shadows", ShadowAnalysis, ShadowAnalysis.analysis_id.in_(ids))
    of_these = CommitmentRequest.delivery_id.in_([row.id for row in deliveries])
    commitments = newest("commitments", CommitmentRequest, of_these)
    assessments = newest("assessments", Assessment, Assessment.study_id == study.id)
    mine = _history_of(study, instances, analyses, deliveries)
    waits = Waits.read(session, destinations=destinations)
    nodes = names_if_several(session)
    return {
        "summary": summary(session, study, waits, nodes),
        "instances": [_shown(row) | {"node": nodes.get(row.spool_id, "")} for row in instances],
        "analyses": [as_facts(row) for row in analyses],
        "shadows": [as_facts(row) for row in shadows],
        "results": [as_facts(row) for row in results],
        "deliveries": [
            as_facts(row)
            | {"state": waits.state_of(row), "reason": waits.cause_of(row) or row.reason}
            for row in deliveries
        ],
        "outcomes": [as_facts(row) for row in outcomes],
        "commitments": [as_facts(row) for row in commitments],
        "assessments": [as_facts(row) for row in assessments],
        "history": [as_facts(row) for row in newest("history", Transition, mine)],
        "left_out": left_out,
    }


def _shown(row: Instance) -> dict[str, Any]:
    # The digests of patients serve to compare images, and tell nobody anything.
    return {name: value for name, value in as_facts(row).items() if name != "patient_digest"}


def _history_of(
    study: Study, instances: list[Instance], analyses: list[Analysis], deliveries: list[Delivery]
) -> ColumnElement[bool]:
    subjects = {
        "study": [study.id],
        "instance": [row.id for row in instances],
        "analysis": [row.id for row in analyses],
        "delivery": [row.id for row in deliveries],
    }
    return or_(
        *(
            (Transition.subject == subject) & Transition.subject_id.in_(ids)
            for subject, ids in subjects.items()
        )
    )


def _proof(session: Session, study: Study) -> str:
    newest = select(Analysis.id).where(Analysis.study_id == study.id)
    newest = newest.order_by(Analysis.revision.desc()).limit(1)
    states = set(session.scalars(select(Delivery.state).where(Delivery.analysis_id.in_(newest))))
    return next((state.value for state in TAKEN if state in states), "")


def _condition(session: Session, study: Study, waits: Waits) -> tuple[str, str]:
    if study.state is StudyState.OPEN:
        return "receiving", ""
    analysis = session.scalars(
        select(Analysis).where(Analysis.study_id == study.id).order_by(Analysis.revision.desc())
    ).first()
    if analysis is None or study.remark:
        is_held = bool(study.remark) and not has_nothing_to_analyse(study.remark)
        return "held" if is_held else "nothing-to-analyse", study.remark
    if analysis.state is AnalysisState.DUE:
        # A fault of the site is said once, and only while it holds up everything.
        own = "" if is_standstill(analysis.reason) else analysis.reason
        return "waiting", _joined(own, _waits_for(session, study, analysis, waits))
    if analysis.state is AnalysisState.RUNNING:
        return "analysing", analysis.reason
    if analysis.state is not AnalysisState.DONE:
        return analysis.state.value, analysis.reason
    condition, reason = _delivery_condition(session, analysis, waits)
    return condition, _joined(unread_images(analysis.findings), reason)


def unread_images(findings: str | None) -> str:
    """Say in words how many images of a findings document could not be read; empty if none."""
    images = json.loads(findings or "{}").get("images", [])
    failed = sum(image["status"] == "failed" for image in images)
    whole = failed + sum(image["status"] == "analysed" for image in images)
    if not failed:
        return ""
    return f"{failed} of {whole} image{'s' if whole > 1 else ''} could not be read"


def _waits_for(session: Session, study: Study, analysis: Analysis, waits: Waits) -> str:
    now = waits.now
    paused = waits.holds.stop(Analysis) or waits.holds.on(Paused.SENDER, study.calling_ae_title)
    if paused:
        return paused.in_words()
    if analysis.due_at > now:
        return f"tried again at {_instant(analysis.due_at)}"
    if _is_analysing(session, now):
        return ""
    fault = analysis.reason if is_standstill(analysis.reason) else standstill(session)
    if fault or analysis.due_at > now - _SOON:
        return fault
    return waits.untaken.get(QUEUE_OF_ANALYSES) or _due_for_long(study, analysis)


def _is_analysing(session: Session, now: datetime) -> bool:
    # A worker that is busy renews its lease; one that is free takes at once what is due.
    busy = select(Analysis.id).where(
        in_states(Analysis, AnalysisState.RUNNING), Analysis.lease_expires_at >= now
    )
    return session.scalar(busy.limit(1)) is not None


def _due_for_long(study: Study, analysis: Analysis) -> str:
    if study.priority == Priority.OFF_PEAK and analysis.dispatched_at is None:
        return "off-peak: begun when nothing else waits, within work.off_peak_hours"
    since = f"since {_instant(analysis.due_at)}"
    if analysis.dispatched_at is None:
        return f"due {since}, and not handed to the broker yet: see the log of the node"
    return f"due {since}, and no worker has taken it: check that one is running"


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _why_not_sent(analysis: Analysis) -> str:
    """Say why a rule has nothing sent anywhere; empty if that is no rule's decision."""
    route = Route.from_json(analysis.rule, analysis.route)
    if route.is_shadow:
        return f"in shadow by rule {route.rule}: kept, and sent nowhere"
    return f"rule {route.rule} names no destination" if route.recipients == () else ""


def _delivery_condition(session: Session, analysis: Analysis, waits: Waits) -> tuple[str, str]:
    query = select(Delivery).where(Delivery.analysis_id == analysis.id).order_by(Delivery.id)
    deliveries = list(session.scalars(query))
    if not deliveries and (why := _why_not_sent(analysis)):
        return "done", why
    if not deliveries:
        return "done", "no destination is configured: add one under [[destinations]], then retry"
    for state in (DeliveryState.REFUSED, DeliveryState.EXPIRED):
        for delivery in deliveries:
            if delivery.state is state:
                return state.value, f"{delivery.destination}: {delivery.reason}"
    under_way = [
        one for one in deliveries if one.state in {DeliveryState.DUE, DeliveryState.SENDING}
    ]
    if not under_way:
        held = [one for one in deliveries if one.state is DeliveryState.HELD]
        is_delivered = len(held) < len(deliveries)
        said = [(one.destination, waits.reason_of(one)) for one in deliveries]
        why = _joined(*(f"{destination}: {reason}" for destination, reason in said if reason))
        return ("delivered" if is_delivered else HELD), why
    reasons = [(one.destination, waits.reason_of(one)) for one in under_way]
    is_held = all(waits.held_because(one) for one in under_way)
    return (
        HELD if is_held else "delivering",
        _joined(*(f"{destination}: {why}" for destination, why in reasons if why)),
    )
