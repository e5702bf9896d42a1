"""What the earlier revisions of a study have: answers, objects, and which archives hold them."""

from collections import defaultdict
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.due.outcomes import HELD_BY_ARCHIVE, MadeResult
from dicom_node.studies.ledger.states import TAKEN, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, DeliveryOutcome, ResultObject


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerObject:
    """One result object, which several revisions may share.

    Attributes
    ----------
    made : with the place that the newest of these revisions found it in, empty if it was removed
    made_in, kept_until : 1 or more
        The first and the last of these revisions.
    accepted_by : names of destinations
    """

    made: MadeResult
    made_in: int
    kept_until: int
    accepted_by: frozenset[str]


def former_objects(session: Session, analysis: Analysis) -> dict[str, FormerObject]:
    """Return the result objects of all earlier revisions by SOP Instance UID."""
    rows = session.execute(
        select(ResultObject, Analysis.revision)
        .join(Analysis)
        .where(Analysis.study_id == analysis.study_id, Analysis.revision < analysis.revision)
        .order_by(Analysis.revision, ResultObject.id)
    )
    accepted_by = _accepted_by(session, analysis.study_id)
    former: dict[str, FormerObject] = {}
    for row, revision in rows:
        made = MadeResult(
            kind=row.kind,
            variant=row.variant,
            sop_class_uid=row.sop_class_uid,
            sop_instance_uid=row.sop_instance_uid,
            series_instance_uid=row.series_instance_uid,
            # Where its file is to be deleted, or is gone: nobody may build on it.
            place="" if row.removed_at else row.place,
            sha256=row.sha256,
            stored=row.stored,
        )
        known = former.get(made.sop_instance_uid)
        former[made.sop_instance_uid] = (
            replace(known, made=made, kept_until=revision)
            if known is not None
            else FormerObject(
                made=made,
                made_in=revision,
                kept_until=revision,
                accepted_by=frozenset(accepted_by[made.sop_instance_uid]),
            )
        )
    return former


def former_findings(session: Session, analysis: Analysis) -> list[str]:
    """Return the findings documents of all earlier revisions, the newest last."""
    documents = session.scalars(
        select(Analysis.findings)
        .where(Analysis.study_id == analysis.study_id, Analysis.revision < analysis.revision)
        .order_by(Analysis.revision)
    )
    return [document for document in documents if document]


def destinations_reached(session: Session, analysis_id: int) -> set[str]:
    """Return the destinations that may hold results of the earlier revisions of a study."""
    own = session.get_one(Analysis, analysis_id)
    query = (
        select(Delivery.destination)
        .join(Analysis)
        .where(
            Analysis.study_id == own.study_id,
            Analysis.revision < own.revision,
            (Delivery.attempts > 0) | Delivery.state.in_((*TAKEN, DeliveryState.SENDING)),
        )
    )
    return set(session.scalars(query)).union(*_accepted_by(session, own.study_id).values())


def _accepted_by(session: Session, study_id: int) -> defaultdict[str, set[str]]:
    rows = session.execute(
        select(ResultObject.sop_instance_uid, Delivery.destination)
        .join(DeliveryOutcome, DeliveryOutcome.result_object_id == ResultObject.id)
        .join(Delivery, Delivery.id == DeliveryOutcome.delivery_id)
        .join(Analysis, Analysis.id == ResultObject.analysis_id)
        .where(Analysis.study_id == study_id, DeliveryOutcome.outcome.in_(HELD_BY_ARCHIVE))
    )
    accepted_by: defaultdict[str, set[str]] = defaultdict(set)
    for uid, destination in rows:
        accepted_by[uid].add(destination)
    return accepted_by


def newest_results_key(session: Session, analysis: Analysis) -> tuple[int, str]:
    """Return the newest revision before this one that has results, and what they were made of.

    Returns
    -------
    revision : 0 if there is none
    results_key : empty if it is unknown
    """
    row = session.execute(
        select(Analysis.revision, Analysis.results_key)
        .join(ResultObject)
        .where(Analysis.study_id == analysis.study_id, Analysis.revision < analysis.revision)
        .order_by(Analysis.revision.desc())
        .limit(1)
    ).first()
    return (0, "") if row is None else (row.revision, row.results_key)
