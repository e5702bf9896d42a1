"""What is kept of canary studies: when each was, how long each phase took, and the scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.settings.operation.canary import CANARY_DESTINATION, CanarySettings
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.site_tables import CanaryReceiver, CanaryRun, DestinationState
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    Instance,
    ResultObject,
    Study,
    Transition,
)

_KEPT: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryFacts:
    """One canary study.

    Attributes
    ----------
    seconds : by phase, in their order
    broken : phase that did not end as it should; empty if all did
    reason : why; else empty
    """

    began_at: datetime
    seconds: Mapping[str, float]
    broken: str
    reason: str

    @property
    def is_held(self) -> bool:
        """Return whether somebody had paused what it needs: how far it came tells of no fault."""
        return bool(self.reason) and not self.broken

    def in_words(self, now: datetime) -> str:
        """Say how old it is and how it ended."""
        age = int((now - self.began_at).total_seconds())
        when = f"canary: {age // 60} min {age % 60} s ago"
        if self.is_held:
            return f"{when} it was held, which is no fault: {self.reason}"
        if self.broken:
            return f"{when} phase {self.broken} was broken: {self.reason}"
        return f"{when} everything worked, in {sum(self.seconds.values()):.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentResult:
    """A result of a canary study and where it was sent."""

    destination: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


def note_run(session: Session, run: CanaryFacts, *, key: str, scores: str) -> None:
    """Keep a run; the first whole one of each bundle and engine for good, others for a month.

    Parameters
    ----------
    key : digest of bundle, engine and their settings; empty if nothing was analysed
    scores : JSON
    """
    session.add(
        CanaryRun(
            began_at=run.began_at,
            seconds=json.dumps(dict(run.seconds)),
            broken=run.broken,
            reason=run.reason,
            key=key,
            scores=scores,
        )
    )
    first = select(func.min(CanaryRun.id)).where(CanaryRun.scores != "").group_by(CanaryRun.key)
    session.execute(
        delete(CanaryRun)
        .where(CanaryRun.began_at < run.began_at - _KEPT, CanaryRun.id.not_in(first))
        .execution_options(synchronize_session=False)
    )


def note_address(session: Session, host: str, port: int) -> None:
    """Say where the node takes the results of the canary study that it sends now."""
    session.execute(delete(CanaryReceiver))
    session.add(CanaryReceiver(host=host, port=port))


def canary_address(session: Session) -> tuple[str, int] | None:
    """Return host and port where its results are taken; None if no node has said so yet."""
    row = session.scalars(select(CanaryReceiver).order_by(CanaryReceiver.id.desc())).first()
    return None if row is None else (row.host, row.port)


def first_scores(session: Session, key: str) -> str | None:
    """Return the scores of the first run with this bundle and engine; None if there is none."""
    query = select(CanaryRun.scores).where(CanaryRun.key == key, CanaryRun.scores != "")
    return session.scalars(query.order_by(CanaryRun.id).limit(1)).first()


def last_run(session: Session) -> CanaryFacts | None:
    """Return the last canary study; None if there was none."""
    row = session.scalars(select(CanaryRun).order_by(CanaryRun.id.desc()).limit(1)).first()
    if row is None:
        return None
    return CanaryFacts(
        began_at=row.began_at,
        seconds=json.loads(row.seconds),
        broken=row.broken,
        reason=row.reason,
    )


def is_overdue(last: CanaryFacts | None, settings: CanarySettings, at: datetime) -> bool:
    """Return whether the node should have sent a canary study since the last one.

    One interval may pass in one that hangs or is long, and in a node that starts again.
    """
    if not settings.minutes:
        return False
    longest = timedelta(minutes=3 * settings.minutes, seconds=settings.longest_seconds)
    return last is None or at - last.began_at > longest


def sent_results(session: Session, analysis_id: int) -> list[SentResult]:
    """List the results of an analysis that were sent, once for each destination."""
    query = (
        select(ResultObject, Delivery.destination)
        .join(DeliveryOutcome, DeliveryOutcome.result_object_id == ResultObject.id)
        .join(Delivery, Delivery.id == DeliveryOutcome.delivery_id)
        .where(ResultObject.analysis_id == analysis_id)
        .order_by(ResultObject.id)
    )
    return [
        SentResult(
            destination=destination,
            sop_class_uid=row.sop_class_uid,
            sop_instance_uid=row.sop_instance_uid,
            series_instance_uid=row.series_instance_uid,
        )
        for row, destination in session.execute(query)
    ]


def remove_canary(session: Session) -> list[str] | None:
    """Remove the former canary study from the ledger, so that the next one is new.

    Returns
    -------
    list of str or None
        The places of its files in the spool, to be removed after this is committed; None if a
        worker still has some of it in hand.
    """
    study = session.scalars(
        locking(select(Study).where(Study.study_instance_uid == CANARY_STUDY))
    ).first()
    if study is None:
        return []
    analyses = session.scalars(
        locking(select(Analysis).where(Analysis.study_id == study.id).order_by(Analysis.id))
    ).all()
    ids = [one.id for one in analyses]
    deliveries = session.scalars(
        locking(select(Delivery).where(Delivery.analysis_id.in_(ids)).order_by(Delivery.id))
    ).all()
    if any(one.state is AnalysisState.RUNNING for one in analyses) or any(
        one.state is DeliveryState.SENDING for one in deliveries
    ):
        return None
    instances = session.scalars(select(Instance).where(Instance.study_id == study.id)).all()
    results = session.scalars(select(ResultObject).where(ResultObject.analysis_id.in_(ids))).all()
    places = {one.place for one in instances} | {one.place for one in results}
    of = {
        "delivery": [one.id for one in deliveries],
        "analysis": ids,
        "instance": [one.id for one in instances],
        "study": [study.id],
    }
    outcomes = DeliveryOutcome.delivery_id.in_(of["delivery"])
    for table, which in (
        (DeliveryOutcome, outcomes),
        (Delivery, Delivery.id.in_(of["delivery"])),
        (ResultObject, ResultObject.analysis_id.in_(ids)),
        (Analysis, Analysis.id.in_(ids)),
        (Instance, Instance.id.in_(of["instance"])),
        (Study, Study.id == study.id),
    ):
        session.execute(delete(table).where(which).execution_options(synchronize_session=False))
    # Between two canary studies nobody takes their results, which says nothing of the next.
    session.execute(delete(DestinationState).where(DestinationState.name == CANARY_DESTINATION))
    for subject, rows in of.items():
        session.execute(
            delete(Transition)
            .where(Transition.subject == subject, Transition.subject_id.in_(rows))
            .execution_options(synchronize_session=False)
        )
    return sorted(places - {""})
